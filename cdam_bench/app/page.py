"""The page: components of Gradio, and what happens when one of them is used. Needs the extra `app`."""

import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from cdam_bench.app.curves_shown import curves_shown
from cdam_bench.app.desk import Desk
from cdam_bench.app.examples import EXAMPLES
from cdam_bench.app.questions import MOST_METHODS, MOST_TARGETS, OWN, Question, as_tuple, listed, of_query
from cdam_bench.app.shown import links_shown, maps_shown, notes_of, picture_shown, told
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import UserError

TITLE = "CDAM: which patches speak for which class"
EXPLAINING = '<p class="cdam-hint" aria-busy="true">explaining …</p>'
BLURRING = '<p class="cdam-hint" aria-busy="true">blurring the most important patches …</p>'
QUEUE = "explain"  # of everything that takes a model's time
Shown = dict[Any, Any]  # component → what it shows now


class Page:
    """The page of an app.

    Args:
        desk: that answers.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.settings = desk, desk.settings
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as self.blocks:
            self._lay_out()
            self._listen()

    def _lay_out(self) -> None:
        gr.HTML(
            f'<div class="cdam-head"><h1>{TITLE}</h1><p>Importance maps of a picture for two outputs of a vision transformer. '
            "Pictures stay in memory on the machine this runs on, until the page is closed.</p></div>"
        )
        self.told = gr.HTML("", elem_id="cdam-told")
        self.address = gr.Textbox(visible=False)
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                self._lay_out_settings()
            with gr.Column(scale=7, min_width=300):
                self.maps = gr.HTML(EXPLAINING, elem_id="cdam-maps")
                self.links = gr.HTML("", elem_id="cdam-files")
                self.curves = gr.HTML("", elem_id="cdam-curves")

    def _lay_out_settings(self) -> None:
        models, default, allowed = self.desk.models, self.desk.default, self.settings.allow_paths
        self.upload = gr.File(
            label=f"Picture: drop one here, or click ({self.settings.upload_limits})", height=110, elem_id="cdam-upload"
        )
        self.example = gr.Radio(list(EXAMPLES), value=None, label="or a packaged one", elem_id="cdam-example")
        self.picture = gr.HTML("", elem_id="cdam-predicted")
        self.backbone = gr.Dropdown(
            models.offered(),
            value=models.first,
            allow_custom_value=True,
            label="Backbone",
            info="or type a name of timm (vit_small_patch16_224), an id of Hugging Face's hub (facebook/dino-vits16)"
            + (", or a folder" if allowed else ""),
            elem_id="cdam-backbone",
        )
        self.weights = gr.Textbox(label="Weights for it (a file; empty: its own)", max_lines=1, visible=allowed)
        self.targets = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=MOST_TARGETS,
            allow_custom_value=True,
            label="Outputs to explain",
            info=f"one or {MOST_TARGETS}; the two most probable unless you choose",
            elem_id="cdam-targets",
        )
        self.methods = gr.Dropdown(
            [(display_name(name), name) for name in self.desk.methods],
            value=list(default.methods),
            multiselect=True,
            max_choices=MOST_METHODS,
            label="Methods",
            elem_id="cdam-methods",
        )
        with gr.Accordion("Outputs made of text (CLIP, SigLIP)", open=False):
            self.classes = gr.Textbox(
                label="Class names, with commas; Enter explains",
                max_lines=1,
                placeholder="cat, dog",
                elem_id="cdam-classes",
            )
        with gr.Accordion("Concepts made of example pictures", open=False):
            self.concept = gr.Textbox(label="Name of the concept", max_lines=1, elem_id="cdam-concept")
            self.examples = gr.File(
                label="Two pictures of it or more", file_count="multiple", height=110, elem_id="cdam-concept-files"
            )
            with gr.Row():
                self.add = gr.Button("Add the concept", size="sm")
                self.clear = gr.Button("Remove all concepts", size="sm")

    def _listen(self) -> None:
        asked = [self.example, self.backbone, self.weights, self.classes, self.targets, self.methods]
        shown = [self.told, self.upload, self.example, self.picture, self.targets, self.maps, self.curves, self.links]
        concepts, settings = [self.concept, self.examples], [self.backbone, self.weights, self.classes, self.methods]

        def on(event: Any, answer: Any, inputs: list[Any], outputs: list[Any], js: str | None = None) -> None:
            event(
                answer,
                inputs,
                outputs,
                js=js,
                concurrency_limit=1,
                concurrency_id=QUEUE,
                trigger_mode="always_last",
                api_visibility="private",
                show_progress="minimal",
                show_progress_on=[self.maps],
            )

        on(self.upload.upload, self._on_upload, [self.upload, *asked], shown)
        for event in (self.example.input, self.backbone.input, self.weights.submit, self.classes.submit):
            on(event, self._on_new, asked, shown)
        for event in (self.targets.input, self.methods.input):
            on(event, self._on_same, asked, shown)
        on(self.add.click, self._on_add, [*concepts, *asked], [*shown, *concepts])
        on(self.clear.click, self._on_clear, asked, shown)
        on(self.blocks.load, self._on_load, [self.address], [*shown, *settings], js="() => [window.location.search]")
        self.blocks.unload(self._on_close)

    def _on_upload(self, request: gr.Request, path: str | None, *asked: Any) -> Iterator[Shown]:
        """A picture was sent."""
        if path is None:
            return
        try:
            self.desk.receive(_page(request), path)
        except UserError as error:
            yield {self.told: told(str(error)), self.upload: None}
            return
        question = self._question(None, *asked[1:])
        yield {self.upload: None, self.example: None}
        yield from self._respond(request, replace(question, targets=()))

    def _on_new(self, request: gr.Request, *asked: Any) -> Iterator[Shown]:
        """Another picture or backbone: its own most probable outputs are explained."""
        yield from self._respond(request, replace(self._question(*asked), targets=()))

    def _on_same(self, request: gr.Request, *asked: Any) -> Iterator[Shown]:
        """Other outputs or methods."""
        yield from self._respond(request, self._question(*asked))

    def _on_add(self, request: gr.Request, name: str, paths: list[str] | None, *asked: Any) -> Iterator[Shown]:
        """Pictures of a concept were sent."""
        try:
            self.desk.receive_examples(_page(request), name or "", paths or [])
        except UserError as error:
            yield {self.told: told(str(error)), self.examples: None}
            return
        yield {self.concept: "", self.examples: None}
        yield from self._on_new(request, *asked)

    def _on_clear(self, request: gr.Request, *asked: Any) -> Iterator[Shown]:
        """The concepts are to be dropped."""
        self.desk.forget_examples(_page(request))
        yield from self._on_new(request, *asked)

    def _on_load(self, request: gr.Request, search: str) -> Iterator[Shown]:
        """The page was opened: what its address asks is explained."""
        try:
            question = of_query(parse_qs((search or "").removeprefix("?")), self.desk.default)
            question = question.checked(self.desk.methods)
        except UserError as error:
            yield {self.told: told(str(error)), self.maps: ""}
            return
        yield {
            self.backbone: question.backbone,
            self.weights: question.weights,
            self.classes: ", ".join(question.classes),
            self.methods: list(question.methods),
            self.example: question.picture if question.picture != OWN else None,
        }
        yield from self._respond(request, question)

    def _on_close(self, request: gr.Request) -> None:
        """The page was closed."""
        self.desk.visits.forget(_page(request))

    def _question(
        self, example: Any, backbone: Any, weights: Any, classes: Any, targets: Any, methods: Any
    ) -> Question:
        """What the components say."""
        return replace(
            self.desk.default,
            picture=example or OWN,
            backbone=str(backbone or ""),
            weights=str(weights or ""),
            classes=listed(str(classes or "")),
            targets=as_tuple(targets),
            methods=as_tuple(methods),
        )

    def _respond(self, request: gr.Request, question: Question) -> Iterator[Shown]:
        """First the maps, then what blurring does."""
        page = _page(request)
        try:
            visit = self.desk.ask(page, question)
            answered = visit.answered
            assert answered is not None
            yield {
                self.told: notes_of(answered),
                self.picture: picture_shown(answered),
                self.targets: gr.Dropdown(choices=answered.choices, value=list(answered.question.targets)),
                self.maps: maps_shown(answered),
                self.curves: BLURRING,
                self.links: links_shown(visit),
            }
        except Exception as error:
            yield {self.told: told(in_words(error)), self.maps: "", self.curves: "", self.links: ""}
            return
        try:
            blurring = self.desk.blur(page).blurring
            yield {self.curves: curves_shown(answered, blurring) if blurring is not None else ""}
        except Exception as error:
            yield {self.curves: told(f"no curves: {in_words(error)}", "note")}


def in_words(error: Exception) -> str:
    """What a visitor is told of an error; one that is not hers is printed where the app was started."""
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    return f"this could not be explained ({type(error).__name__}); more is said where the app was started"


def _page(request: gr.Request) -> str:
    """Which open page asks."""
    return str(request.session_hash)
