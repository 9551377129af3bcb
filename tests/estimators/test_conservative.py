"""AttnLRP, CP-LRP and LibraGrad against their rules as relevance propagation; LXT and Zennit where they are installed."""

import copy

import pytest
import torch
from timm.layers import GluMlp
from torch import nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.errors import UserError
from cdam_bench.estimators import CPLRP, AttnLRP, DeepCDAM, InputXGradient, LibraGrad
from cdam_bench.estimators.rules import Rules, backward_through_blocks
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.model import for_each, textbook_model
from tests.reference.rules import attn_lrp, cp_lrp, libragrad

METHODS = [(AttnLRP, attn_lrp), (CPLRP, cp_lrp), (LibraGrad, libragrad)]
methods = pytest.mark.parametrize(("estimator", "method"), METHODS, ids=["attn_lrp", "cp_lrp", "libragrad"])
estimators = pytest.mark.parametrize("estimator", [AttnLRP, CPLRP, LibraGrad])


def expected_maps(method, model, images, targets, **options):
    """As `attribute` gives them: (B, K, H, W)."""
    maps = for_each(lambda *one: method(*one, **options), model, images, targets)
    if maps.ndim == 3:
        maps = maps.unflatten(-1, (4, 6)).repeat_interleave(8, -1).repeat_interleave(8, -2)
    return maps


@methods
def test_maps_equal_relevance_propagation(any_backbone, any_textbook, images, targets, estimator, method):
    assert_agree(
        estimator().attribute(any_backbone, images, targets), expected_maps(method, any_textbook, images, targets)
    )


@pytest.mark.parametrize(
    ("estimator", "method", "gammas"),
    [
        (AttnLRP, attn_lrp, {"gamma": 0.1, "gamma_patches": 0.25}),
        (CPLRP, cp_lrp, {"gamma": 0.05}),
        (LibraGrad, libragrad, {"gamma": 1.0}),
    ],
    ids=["attn_lrp", "cp_lrp", "libragrad"],
)
def test_maps_with_gamma_equal_relevance_propagation(vit, textbook, images, targets, estimator, method, gammas):
    backbone = Backbone(copy.deepcopy(vit)).double()
    actual = estimator(**gammas).attribute(backbone, images.double(), targets)
    assert_agree(actual, expected_maps(method, textbook, images, targets, **gammas))


@methods
@pytest.mark.parametrize("similarity", ["cosine", "neg_l2"])
def test_a_concepts_similarity_is_explained_by_its_gradient(vit, images, estimator, method, similarity):
    """A linear head with the gradient at the image's own features as its row has the same map."""
    vectors = torch.randn(1, vit.embed_dim, generator=torch.Generator().manual_seed(5))
    image, target = images[:1], torch.tensor([[0]])
    backbone = Backbone(copy.deepcopy(vit), ConceptHead(vectors, similarity))
    features = backbone.features(image).detach().requires_grad_()
    (row,) = torch.autograd.grad(backbone.head(features).sum(), features)
    linear = nn.Linear(vit.embed_dim, 1, bias=False)
    linear.weight.data.copy_(row)
    expected = expected_maps(method, textbook_model(vit, linear), image, target)
    assert_agree(estimator().attribute(backbone, image, target), expected)


@estimators
def test_maps_do_not_depend_on_the_batch_or_on_other_targets(backbone, estimator):
    images, targets = random_images(4, seed=3), torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0]])
    together = estimator().attribute(backbone, images, targets)
    alone = [estimator().attribute(backbone, images[b : b + 1], targets[b : b + 1]) for b in range(4)]
    apart = [estimator().attribute(backbone, images, targets[:, k]) for k in range(2)]
    assert_agree(torch.cat(alone), together, 1e-5)
    assert_agree(torch.stack(apart, 1), together, 1e-5)


@estimators
def test_networks_and_modules_stay_as_they_were(backbone, images, targets, estimator):
    before = InputXGradient().attribute(backbone, images, targets)
    forward = nn.LayerNorm.forward
    estimator().attribute(backbone, images, targets)
    assert torch.equal(InputXGradient().attribute(backbone, images, targets), before)
    assert nn.LayerNorm.forward is forward
    assert not any(module._forward_hooks for module in backbone.modules())


@pytest.fixture(scope="module")
def without_biases():
    """A ViT whose only constants are its prefix tokens and positions."""
    vit = random_vit(seed=3, reg_tokens=4, qkv_bias=False)
    for name, parameter in vit.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return vit


def test_libragrads_scores_of_all_tokens_sum_to_the_logit_without_biases(without_biases, images, targets, monkeypatch):
    backbone = Backbone(copy.deepcopy(without_biases)).double()
    monkeypatch.setattr(Backbone, "num_prefix_tokens", 0)  # scores of all tokens
    scores = LibraGrad().scores(backbone, images.double(), targets, torch.zeros(2))
    logits = backbone(images.double()).gather(1, targets)
    torch.testing.assert_close(scores.sum(-1), logits, rtol=1e-6, atol=1e-9)


def test_attnlrp_keeps_half_of_the_values_relevance_and_half_of_the_scores(without_biases, images):
    """Σ T ⊙ g at the last norm1 is ⟨o, g_o⟩ with constant attention, and + 2 Σ s ⊙ g_s with its derivative (s is bilinear in T).

    AttnLRP's halves make that ½ ⟨o, g_o⟩ + ½ Σ s ⊙ g_s: a quarter of both together. What is missing, the softmax absorbed.
    """
    backbone = Backbone(copy.deepcopy(without_biases)).double()

    def total(attention):
        rules = Rules(attention, "detach", "gate")
        last = next(iter(backward_through_blocks(backbone, images[:1].double(), torch.tensor([[3]]), rules)))
        return (last.tokens * last.at_tokens[:, 0]).sum()

    torch.testing.assert_close(total("halve"), (total("plain") + total("detach")) / 4)


@pytest.mark.parametrize("estimator", [AttnLRP, CPLRP, LibraGrad, DeepCDAM])
def test_a_gated_mlp_is_refused(estimator, images, targets):
    with pytest.raises(UserError, match="no rule: use a plain MLP"):
        estimator().attribute(Backbone(random_vit(mlp_layer=GluMlp)), images, targets)


@estimators
def test_a_negative_gamma_is_refused(estimator):
    with pytest.raises(UserError, match="gamma=-1"):
        estimator(gamma=-1)


def lxt_map(model, image, target, factors):
    """Input × gradient at the pixels with LXT's own functions in place of norms, activations and at q, k and v."""
    from lxt.efficient.patches import layer_norm_forward
    from lxt.efficient.rules import divide_gradient, identity_rule_implicit

    def at_qkv(_module, _inputs, output):
        parts = output.chunk(3, -1)
        pairs = zip(parts, factors, strict=True)
        return torch.cat([x.detach() if f is None else divide_gradient(x, f) for x, f in pairs], -1)

    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(lambda norm, inputs, _output: layer_norm_forward(norm, inputs[0]))
        elif isinstance(module, nn.GELU):
            module.register_forward_hook(lambda _act, x, _output: identity_rule_implicit(nn.functional.gelu, x[0]))
    for block in model.blocks:
        block.attn.qkv.register_forward_hook(at_qkv)
    leaf = image[None].double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[0, target], leaf)
    return (leaf * gradient)[0].sum(0).detach()


def test_attnlrp_equals_lxt(backbone, textbook, images, targets):
    pytest.importorskip("lxt.efficient")
    expected = for_each(lambda *one: lxt_map(*one, factors=(4, 4, 2)), textbook, images, targets)
    assert_agree(AttnLRP().attribute(backbone, images, targets), expected)


def test_constant_attention_norms_and_gates_equal_lxts_rules_for_vision(backbone, textbook, images, targets):
    """What LXT calls CP-LRP of vision transformers are LibraGrad's rules; at the pixels."""
    pytest.importorskip("lxt.efficient")
    expected = for_each(lambda *one: lxt_map(*one, factors=(None, None, 1)), textbook, images, targets)
    at_pixels = AttnLRP()
    at_pixels.rules = LibraGrad().rules
    assert_agree(at_pixels.attribute(backbone, images, targets), expected)
