"""The page in a browser on which a picture is explained: `cdam-bench app`. Only `page` and `serving` need Gradio."""
