"""Tests; they mirror cdam_bench/. None of them downloads: what asks for it is refused at once, before anything is imported."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
