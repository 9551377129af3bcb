# %% [markdown]
# # From one picture to a concept
#
# This page is a script, `docs/tutorial.py`, and a notebook made from it, `docs/tutorial.ipynb`. It needs no download: the
# pictures are scenes of handwritten digits, the network comes with the package. Tests run both.

# %%
from pathlib import Path

import torch

import cdam_bench
from cdam_bench.datasets import DigitScenes
from cdam_bench.datasets.concepts import Concepts
from cdam_bench.estimators import CDAM, AttentionMap
from cdam_bench.explaining.attention import correlation, head_shares
from cdam_bench.explaining.named import named_backbone
from cdam_bench.explaining.picture import prepare

here = Path(__file__).parent if "__file__" in globals() else Path()  # a notebook runs in its own folder
PICTURE = here / "images" / "two_digits.png"

# %% [markdown]
# ## Explain a picture
#
# Estimators and targets go by name. `top1` is the most probable class; for a network trained on ImageNet, write `"zebra"`.

# %%
explanation = cdam_bench.explain(PICTURE, "digits_vit", ["cdam", "attention_map"], ["top1", "top2"])
print(explanation.table())

# %%
explanation  # a notebook shows the figure; `explanation.plot()` makes it anywhere

# %% [markdown]
# Maps are arrays, one per estimator and target. CDAM tells the classes apart; attention cannot: its two maps are equal.

# %%
first, second = (target.name for target in explanation.targets)
cdam, attention = explanation.maps["cdam"], explanation.maps["attention_map"]
print("CDAM differs by", abs(cdam[first] - cdam[second]).max())
print("attention differs by", abs(attention[first] - attention[second]).max())
assert (attention[first] == attention[second]).all()

# %% [markdown]
# `explanation.save("outputs/explain")` writes the figure, the maps (`.npz`, keys such as `cdam/4`) and what they are (`.json`).
#
# ## A concept that nobody trained for
#
# A concept is the mean [CLS] latent of a few example pictures. Here the pictures are 30 scenes that show a 4 alone; of your own,
# put 10 or more into a folder and write `cdam-bench explain image=… concept=folder/`.

# %%
backbone, preprocessing = named_backbone("digits_vit")
singles = DigitScenes(1, preprocessing, num_images=400, split="train")
fours = [sample.image for sample in (singles[i] for i in range(len(singles))) if sample.targets == (4,)][:30]
concepts = Concepts.of_images(backbone, {"fourness": torch.stack(fours)})
with_concept = backbone.with_head(concepts.head("cosine"))

by_concept = cdam_bench.explain(PICTURE, with_concept, [CDAM(), AttentionMap()], preprocessing=preprocessing)
print(by_concept.table())

# %% [markdown]
# How alike are the concept's map and the map of the class? The concept was given no labels (the backbone was trained with
# them). In this network they are related, not equal:

# %%
r = correlation(by_concept.maps["cdam"]["fourness"].ravel(), cdam["4"].ravel())
print(f"correlation of the concept's CDAM with the class's: {r:.2f}")
assert 0.1 < r < 1

# %% [markdown]
# ## Why CDAM follows attention
#
# In every head of the last block, the gradient at a token's value is the token's attention times one vector. The figure
# `scatter=true` of `cdam-bench explain` shows it; here are the numbers. See closed_form.md for the derivation.

# %%
prepared = prepare(PICTURE, backbone, preprocessing)
shares = head_shares(backbone, prepared.image, target=4)
for head, (a, g) in enumerate(zip(shares.attention, shares.value_gradients, strict=True), 1):
    print(f"head {head}: attention against the gradient at the values, r = {correlation(a, g):.6f}")
    assert correlation(a, g) > 0.9999
