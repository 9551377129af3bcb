"""Small models of `transformers` with random weights, saved as users have them."""

import json

import pytest
import torch

transformers = pytest.importorskip("transformers")

IMAGE_SIZE, PATCH_SIZE, NUM_CLASSES = 32, 8, 5
VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": IMAGE_SIZE,
    "patch_size": PATCH_SIZE,
}
DINOV2 = {key: value for key, value in VIT.items() if key != "intermediate_size"} | {"mlp_ratio": 2}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 40,
    "max_position_embeddings": 12,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "projection_dim": 20,
    "projection_size": 24,
}
BEIT = VIT | {"num_labels": NUM_CLASSES, "use_relative_position_bias": True}
SQUARE = {"image_processor_type": "ViTImageProcessor", "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE}}


def _clip():
    vision = transformers.CLIPVisionConfig(**VIT, projection_dim=20)
    return transformers.CLIPConfig(text_config=TEXT, vision_config=vision.to_dict(), projection_dim=20)


def _siglip(**options):
    return transformers.SiglipConfig(text_config=TEXT, vision_config=VIT, **options)


MAKERS = {  # name → the model; what it is compared by: `theirs`
    "vit": lambda t: t.ViTForImageClassification(t.ViTConfig(**VIT, num_labels=NUM_CLASSES, qkv_bias=False)),
    "vit-headless": lambda t: t.ViTModel(t.ViTConfig(**VIT)),
    "deit": lambda t: t.DeiTForImageClassification(t.DeiTConfig(**VIT, num_labels=NUM_CLASSES)),
    "deit-distilled": lambda t: t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**VIT, num_labels=NUM_CLASSES)),
    "dinov2": lambda t: t.Dinov2ForImageClassification(t.Dinov2Config(**DINOV2, num_labels=NUM_CLASSES)),
    "dinov2-gated": lambda t: t.Dinov2Model(t.Dinov2Config(**DINOV2, use_swiglu_ffn=True)),
    "dinov2-registers": lambda t: t.Dinov2WithRegistersForImageClassification(
        t.Dinov2WithRegistersConfig(**DINOV2, num_labels=NUM_CLASSES)
    ),
    "beit": lambda t: t.BeitForImageClassification(t.BeitConfig(**BEIT)),
    "beit-cls": lambda t: t.BeitForImageClassification(
        t.BeitConfig(**BEIT, use_absolute_position_embeddings=True, use_mean_pooling=False, layer_scale_init_value=0.0)
    ),
    "clip": lambda t: t.CLIPModel(_clip()),
    "clip-image": lambda t: t.CLIPVisionModelWithProjection(_clip().vision_config),
    "clip-classes": lambda t: t.CLIPForImageClassification(_with_labels(_clip())),
    "siglip": lambda t: t.SiglipModel(_siglip()),
    "siglip-image": lambda t: t.SiglipVisionModel(_siglip().vision_config),
    "siglip-classes": lambda t: t.SiglipForImageClassification(_with_labels(_siglip())),
}
LAST_NORMS = ("layernorm_before", "norm1", "layer_norm1")  # before a layer's attention, as the families call it


def _with_labels(config):
    config.num_labels = NUM_CLASSES
    return config


def make(name, seed=0):
    """A model with random weights of a size that makes every one of them count."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MAKERS[name](transformers).eval()
        for key, parameter in model.named_parameters():
            if parameter.ndim < 2:
                noise = 0.3 * torch.randn_like(parameter)
                parameter.data = noise if key.endswith("bias") or parameter.ndim == 0 else 1 + noise
            else:
                scale = 0.5 if parameter.shape[0] == 1 or "position" in key else 1.3 * parameter[0].numel() ** -0.5
                parameter.data = scale * torch.randn_like(parameter)
        return model


def save(model, folder, preprocessor=SQUARE):
    """As `save_pretrained` writes a model, with its preprocessor_config.json."""
    model.save_pretrained(folder)
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def theirs(model, images):
    """What `transformers` computes: logits, the projected or pooled image features, or the [CLS] latent."""
    if hasattr(model, "get_image_features"):
        found = model.get_image_features(images)
        return found if isinstance(found, torch.Tensor) else found.pooler_output
    found = model(pixel_values=images)
    for name in ("logits", "image_embeds"):
        if getattr(found, name, None) is not None:
            return getattr(found, name)
    return found.pooler_output if "Siglip" in type(model).__name__ else found.last_hidden_state[:, 0]


def textbook_cdam(model, images, target):
    """Tokens × gradient at the norm before the last attention, by a hook and a backward pass through the whole model."""
    norm = [module for name, module in model.named_modules() if "text_model" not in name and name.endswith(LAST_NORMS)][
        -1
    ]
    seen = []
    handle = norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        outputs = theirs(model, images)[:, target].sum()
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(outputs, seen[0])
    grid = IMAGE_SIZE // PATCH_SIZE
    return (seen[0] * gradient).sum(-1)[:, -(grid**2) :].reshape(-1, grid, grid).detach()
