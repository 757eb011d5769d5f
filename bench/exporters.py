"""Recipes for the zoo's exported models: torch modules with seeded random weights, and how they become ONNX.

A recipe is a function `(**params) -> torch.nn.Module`. The module's forward takes the model's inputs positionally, in
the order in which the manifest declares them, and returns a tensor or a tuple of tensors. Nothing here touches a
network: transformers models are built from configurations. torch and transformers are imported inside the functions,
so that reading the table of recipes costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.architectures import ARCHITECTURES
from bench.classical import CLASSICAL
from bench.decoders import DECODERS
from bench.modules import calling, from_config


def build(name: str, params: Mapping[str, Any], seed: int, example: Sequence[np.ndarray]) -> Any:
    """Build the module of one recipe in evaluation mode, with weights that depend on `seed` and `example` alone.

    BatchNormalization layers get statistics measured on `example`, so that activations keep their magnitude through
    depth. Recipes of bench/classical.py give a ModelProto that is ready.
    """
    import torch

    torch.manual_seed(seed)
    module = RECIPES[name](**params)
    if not isinstance(module, torch.nn.Module):
        return module
    vary_constants(module)
    settle_batch_norms(module, [torch.from_numpy(array) for array in example])
    return module.eval()


def vary_constants(module: Any) -> None:
    """Spread parameters that start at one value: zero biases would hide that they are dropped."""
    import torch

    with torch.no_grad():
        for parameter in module.parameters():
            first = parameter.flatten()[0]
            if parameter.numel() > 1 and bool((parameter == first).all()):
                spread = 0.2 if first else 0.02
                parameter.add_(torch.empty_like(parameter).uniform_(-spread, spread))


def settle_batch_norms(module: Any, example: Sequence[Any]) -> None:
    """Give each batch norm a random affine part and the statistics it sees on `example` and its mirror."""
    import torch

    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    module.train()
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches seen
    with torch.no_grad():
        module(*(torch.cat([tensor, tensor.flip(-1)]) for tensor in example))


def export(
    module: Any,
    path: Path,
    *,
    example: Mapping[str, np.ndarray],
    dynamic: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
    exporter: str,
    opset: int,
    external_data: bool,
    linked: bool = False,
) -> None:
    """Export `module` to `path` through one of torch's two exporters.

    `example` maps input names to arrays in the order of forward's parameters; `dynamic` maps input names to
    {axis: symbol}. `exporter` is "dynamo" (torch.export), "torchscript" (tracing; weights always inside the file), or
    "none" for a ModelProto.
    `linked`: sizes follow from one another (a mask as long as the cache and the step), which torch.export finds out.
    """
    if exporter == "none":
        import onnx

        onnx.save(module, path)
        return
    import torch

    arguments = tuple(torch.from_numpy(array) for array in example.values())
    settings: dict[str, Any] = {
        "input_names": list(example),
        "output_names": list(outputs),
        "opset_version": opset,
        "verbose": False,
    }
    if exporter == "dynamo":
        names = {name for axes in dynamic.values() for name in axes.values()}
        symbols = {name: name if linked else torch.export.Dim(name, min=1) for name in sorted(names)}
        shapes: tuple[Any, ...] = tuple(
            {axis: symbols[name] for axis, name in dynamic.get(key, {}).items()} for key in example
        )
        parameters = inspect.signature(module.forward).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
            shapes = (shapes,)
        settings |= {"dynamic_shapes": shapes if names else None, "external_data": external_data}
    elif exporter == "torchscript":
        settings["dynamic_axes"] = {name: dict(axes) for name, axes in dynamic.items()}
    else:
        raise ValueError(f"unknown exporter {exporter!r}: expected 'dynamo', 'torchscript' or 'none'")
    with torch.no_grad():
        torch.onnx.export(module, arguments, path, dynamo=exporter == "dynamo", **settings)


def mlp(widths: Sequence[int]) -> Any:
    """Linear + ReLU chain of the given widths. x [batch, widths[0]] -> [batch, widths[-1]]."""
    from torch import nn

    layers: list[Any] = []
    for index, (width, out_width) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if index else []
        layers.append(nn.Linear(width, out_width))
    return nn.Sequential(*layers)


def transformer_block(width: int, heads: int) -> Any:
    """One pre-norm block: attention with explicit scores, then a 4x MLP with exact GELU. x [batch, sequence, width]."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            q, k, v = (
                part.unflatten(-1, (heads, width // heads)).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).split(width, dim=-1)
            )
            weights = torch.softmax(q @ k.transpose(-2, -1) * (width // heads) ** -0.5, dim=-1)
            x = x + self.proj((weights @ v).transpose(1, 2).flatten(2))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    return Block()


def gpt2(layers: int, attention: str) -> Any:
    """GPT-2 small's shape with `layers` layers, without the head. input_ids [batch, sequence] -> hidden states."""
    model = from_config("AutoModel", "GPT2Config", attention, n_layer=layers, use_cache=False)
    return calling(model, lambda body, ids: body(input_ids=ids).last_hidden_state)


def gpt2_lm(layers: int, attention: str) -> Any:
    """GPT-2 small's shape with its language-model head. (input_ids, attention_mask) -> logits."""
    model = from_config("AutoModelForCausalLM", "GPT2Config", attention, n_layer=layers, use_cache=False)
    return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).logits)


def bert(layers: int, attention: str) -> Any:
    """BERT-base's shape. (input_ids, attention_mask, token_type_ids) -> (hidden states, pooled)."""
    model = from_config("AutoModel", "BertConfig", attention, num_hidden_layers=layers)

    def call(body: Any, ids: Any, mask: Any, kinds: Any) -> Any:
        result = body(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
        return result.last_hidden_state, result.pooler_output

    return calling(model, call)


def distilbert(layers: int, attention: str) -> Any:
    """DistilBERT's shape. (input_ids, attention_mask) -> hidden states."""
    model = from_config("AutoModel", "DistilBertConfig", attention, n_layers=layers)
    return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)


def qwen3(layers: int, vocabulary: int, attention: str) -> Any:
    """Qwen3-0.6B's shape (grouped-query attention, RMSNorm, rotary, SwiGLU) with fewer layers and tokens -> logits."""
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
        "use_cache": False,
    }
    model = from_config("AutoModelForCausalLM", "Qwen3Config", attention, **settings)
    return calling(model, lambda body, ids: body(input_ids=ids).logits)


def llama(layers: int, vocabulary: int, attention: str) -> Any:
    """Llama-3.2-1B's shape with fewer layers and tokens. (input_ids, attention_mask) -> hidden states."""
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "use_cache": False,
    }
    model = from_config("AutoModel", "LlamaConfig", attention, **settings)
    return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)


def t5_encoder(layers: int) -> Any:
    """T5-small's encoder: relative position buckets. (input_ids, attention_mask) -> hidden states."""
    model = from_config("AutoModelForTextEncoding", "T5Config", num_layers=layers, use_cache=False)
    return calling(model, lambda body, ids, mask: body(input_ids=ids, attention_mask=mask).last_hidden_state)


def whisper_encoder(layers: int, attention: str) -> Any:
    """Whisper-tiny's encoder. input_features [batch, 80, 3000] -> hidden states [batch, 1500, 384]."""
    settings: dict[str, Any] = {
        "d_model": 384,
        "encoder_layers": layers,
        "encoder_attention_heads": 6,
        "encoder_ffn_dim": 1536,
        "decoder_layers": 1,
        "decoder_attention_heads": 6,
        "decoder_ffn_dim": 64,
    }
    model = from_config("AutoModel", "WhisperConfig", attention, **settings).encoder
    return calling(model, lambda body, features: body(features).last_hidden_state)


def vit(attention: str) -> Any:
    """ViT-small/16. pixel_values [batch, 3, 224, 224] -> logits of 1,000 classes."""
    settings: dict[str, Any] = {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "num_labels": 1000,
    }
    return classifier("ViTConfig", attention, **settings)


def classifier(config_class: str, attention: str | None = None, **settings: Any) -> Any:
    """transformers' image classifier of a configuration. pixel_values -> logits."""
    model = from_config("AutoModelForImageClassification", config_class, attention, **settings)
    return calling(model, lambda body, pixels: body(pixel_values=pixels).logits)


def resnet50() -> Any:
    """ResNet-50, 1,000 classes."""
    return classifier("ResNetConfig", num_labels=1000)


def resnet18() -> Any:
    """ResNet-18 (basic blocks: 83 % of its products are 3x3 convolutions of stride 1), 1,000 classes."""
    settings: dict[str, Any] = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    return classifier("ResNetConfig", num_labels=1000, **settings)


def mobilenet_v2() -> Any:
    """MobileNetV2 1.0, 1,000 classes."""
    return classifier("MobileNetV2Config", num_labels=1000)


def efficientnet_b0() -> Any:
    """EfficientNet-B0 at 224 x 224, 1,000 classes."""
    settings: dict[str, Any] = {
        "image_size": 224,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 1280,
        "num_labels": 1000,
    }
    return classifier("EfficientNetConfig", **settings)


def regnet() -> Any:
    """RegNetY-400MF: grouped convolutions and squeeze-excitation."""
    settings: dict[str, Any] = {
        "embedding_size": 32,
        "hidden_sizes": [48, 104, 208, 440],
        "depths": [1, 3, 6, 6],
        "groups_width": 8,
        "num_labels": 1000,
    }
    return classifier("RegNetConfig", **settings)


def convnext() -> Any:
    """ConvNeXt-tiny: 7x7 depthwise convolutions, channels-last LayerNorm, GELU."""
    return classifier("ConvNextConfig", num_labels=1000, layer_scale_init_value=0.5)


def swin() -> Any:
    """Swin-tiny: shifted-window attention (Roll, window reshapes, relative position bias)."""
    return classifier("SwinConfig", num_labels=1000)


def segformer() -> Any:
    """Segformer-B0 with its all-MLP decoder, 150 classes at a quarter of the resolution."""
    model = from_config("AutoModelForSemanticSegmentation", "SegformerConfig", num_labels=150)
    return calling(model, lambda body, pixels: body(pixel_values=pixels).logits)


def unet(width: int, classes: int) -> Any:
    """U-Net of 3x3 convolutions, four levels, transposed convolutions upward. image [batch, 3, height, width]."""
    import torch
    from torch import nn

    def double(channels: int, out_channels: int) -> Any:
        layers: list[Any] = []
        for fan_in in (channels, out_channels):
            layers += [nn.Conv2d(fan_in, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()]
        return nn.Sequential(*layers)

    widths = [width * 2**level for level in range(4)]

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([double(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)])
            self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1]])
            self.merge = nn.ModuleList([double(2 * w, w) for w in widths[-2::-1]])
            self.head = nn.Conv2d(width, classes, 1)

        def forward(self, image: Any) -> Any:
            skips = []
            for level, block in enumerate(self.down):
                image = block(nn.functional.max_pool2d(image, 2) if level else image)
                skips.append(image)
            for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
                image = merge(torch.cat([skip, up(image)], dim=1))
            return self.head(image)

    return UNet()


def mobilenet_v3() -> Any:
    """MobileNetV3-large: depthwise 3x3 and 5x5, squeeze-excitation, Hardswish; 1,000 classes."""
    from torch import nn

    class Squeeze(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            hidden = (channels // 4 + 7) // 8 * 8
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(channels, hidden, 1),
                nn.ReLU(),
                nn.Conv2d(hidden, channels, 1),
                nn.Hardsigmoid(),
            )

        def forward(self, x: Any) -> Any:
            return x * self.gate(x)

    def conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Any]:
        layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(out, eps=1e-3)]

    class Bottleneck(nn.Module):
        def __init__(self, channels: int, row: tuple[int, int, int, bool, bool, int]) -> None:
            super().__init__()
            kernel, hidden, out, gated, hard, stride = row
            act = nn.Hardswish if hard else nn.ReLU
            layers = [*conv(channels, hidden, 1), act()] if hidden != channels else []
            layers += [*conv(hidden, hidden, kernel, stride, hidden), act()]
            layers += [Squeeze(hidden)] if gated else []
            self.layers = nn.Sequential(*layers, *conv(hidden, out, 1))
            self.residual = stride == 1 and channels == out

        def forward(self, x: Any) -> Any:
            return x + self.layers(x) if self.residual else self.layers(x)

    layers: list[Any] = [*conv(3, 16, 3, 2), nn.Hardswish()]
    channels = 16
    for row in MOBILENET_V3_ROWS:
        layers.append(Bottleneck(channels, row))
        channels = row[2]
    layers += [*conv(channels, 960, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000))


MOBILENET_V3_ROWS: Final = (
    # kernel, expanded channels, out channels, squeeze-excitation, hardswish, stride: table 1 of arXiv:1905.02244
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def bilstm(features: int, hidden: int, layers: int, classes: int) -> Any:
    """Bidirectional LSTM over features [batch, time, features], then a linear layer per step."""
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, layers, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * hidden, classes)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0])

    return Tagger()


def gru(features: int, hidden: int, layers: int) -> Any:
    """GRU over features [batch, time, features] with its state [layers, batch, hidden] as input and output."""
    from torch import nn

    return nn.GRU(features, hidden, layers, batch_first=True)


RECIPES: Final[Mapping[str, Callable[..., Any]]] = (
    {
        function.__name__: function
        for function in (
            mlp,
            transformer_block,
            gpt2,
            gpt2_lm,
            bert,
            distilbert,
            qwen3,
            llama,
            t5_encoder,
            whisper_encoder,
            vit,
            resnet18,
            resnet50,
            mobilenet_v2,
            mobilenet_v3,
            efficientnet_b0,
            regnet,
            convnext,
            swin,
            segformer,
            unet,
            bilstm,
            gru,
        )
    }
    | ARCHITECTURES
    | CLASSICAL
    | DECODERS
)
