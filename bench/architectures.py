"""Recipes of further architectures: detectors, diffusion, audio, two towers, mobile transformers, neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.modules import calling, from_config


def clip_text(layers: int, attention: str) -> Any:
    """CLIP's text tower, ViT-B/32's sizes. input_ids [batch, 77] -> (hidden states, pooled)."""
    model = from_config("CLIPTextModel", "CLIPTextConfig", attention, num_hidden_layers=layers)

    def call(body: Any, ids: Any) -> Any:
        made = body(input_ids=ids)
        return made.last_hidden_state, made.pooler_output

    return calling(model, call)


def clip_image(layers: int, attention: str) -> Any:
    """CLIP's image tower, ViT-B/32's sizes. pixels [batch, 3, 224, 224] -> pooled [batch, 768]."""
    model = from_config("CLIPVisionModel", "CLIPVisionConfig", attention, num_hidden_layers=layers)
    return calling(model, lambda body, pixels: body(pixel_values=pixels).pooler_output)


def detr(layers: int) -> Any:
    """DETR over ResNet-18. pixels [batch, 3, height, width] -> (class logits, boxes)."""
    import transformers

    backbone = transformers.ResNetConfig(
        depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", out_features=["stage4"]
    )
    model = from_config(
        "DetrForObjectDetection", "DetrConfig", "eager", use_timm_backbone=False, use_pretrained_backbone=False,
        backbone=None, backbone_config=backbone, encoder_layers=layers, decoder_layers=layers,
    )  # fmt: skip

    def call(body: Any, pixels: Any) -> Any:
        made = body(pixel_values=pixels)
        return made.logits, made.pred_boxes

    return calling(model, call)


def yolos(layers: int) -> Any:
    """YOLOS-tiny's sizes. pixels [batch, 3, 320, 320] -> (class logits, boxes)."""
    model = from_config(
        "YolosForObjectDetection", "YolosConfig", "sdpa", hidden_size=192, num_attention_heads=3,
        intermediate_size=768, num_hidden_layers=layers, image_size=[320, 320],
    )  # fmt: skip

    def call(body: Any, pixels: Any) -> Any:
        made = body(pixel_values=pixels)
        return made.logits, made.pred_boxes

    return calling(model, call)


def yolo() -> Any:
    """A one-stage detector as YOLO has them: split bottlenecks, pooled pyramid, three heads with decoded boxes.

    pixels [batch, 3, 320, 320] -> predictions [batch, 4 + 80, 2100].
    """
    import torch
    from torch import nn

    def conv(channels: int, out: int, kernel: int = 1, stride: int = 1) -> Any:
        layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(out), nn.SiLU())

    class Split(nn.Module):
        def __init__(self, channels: int, out: int, depth: int, residual: bool) -> None:
            super().__init__()
            half = out // 2
            self.enter, self.leave = conv(channels, out), conv((2 + depth) * half, out)
            self.parts = nn.ModuleList(nn.Sequential(conv(half, half, 3), conv(half, half, 3)) for _ in range(depth))
            self.residual = residual

        def forward(self, x: Any) -> Any:
            made = list(self.enter(x).chunk(2, 1))
            for part in self.parts:
                made.append(made[-1] + part(made[-1]) if self.residual else part(made[-1]))
            return self.leave(torch.cat(made, 1))

    class Pyramid(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.enter, self.leave = conv(channels, channels // 2), conv(2 * channels, channels)

        def forward(self, x: Any) -> Any:
            made = [self.enter(x)]
            for _ in range(3):
                made.append(nn.functional.max_pool2d(made[-1], 5, 1, 2))
            return self.leave(torch.cat(made, 1))

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), Split(32, 32, 1, True), conv(32, 64, 3, 2),
                                     Split(64, 64, 2, True))  # fmt: skip
            self.middle = nn.Sequential(conv(64, 128, 3, 2), Split(128, 128, 2, True))
            self.high = nn.Sequential(conv(128, 256, 3, 2), Split(256, 256, 1, True), Pyramid(256))
            self.up_middle, self.up_low = Split(384, 128, 1, False), Split(192, 64, 1, False)
            self.down_low, self.down_middle = conv(64, 64, 3, 2), conv(128, 128, 3, 2)
            self.out_middle, self.out_high = Split(192, 128, 1, False), Split(384, 256, 1, False)
            self.boxes = nn.ModuleList(nn.Sequential(conv(c, 64, 3), nn.Conv2d(64, 64, 1)) for c in (64, 128, 256))
            self.classes = nn.ModuleList(nn.Sequential(conv(c, 80, 3), nn.Conv2d(80, 80, 1)) for c in (64, 128, 256))
            self.register_buffer("bins", torch.arange(16.0))

        def forward(self, pixels: Any) -> Any:
            def up(x: Any) -> Any:
                return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")

            low = self.low(pixels)
            middle = self.middle(low)
            high = self.high(middle)
            middle = self.up_middle(torch.cat([up(high), middle], 1))
            low = self.up_low(torch.cat([up(middle), low], 1))
            middle = self.out_middle(torch.cat([self.down_low(low), middle], 1))
            high = self.out_high(torch.cat([self.down_middle(middle), high], 1))
            found = []
            for level, stride, box, label in zip(
                (low, middle, high), (8, 16, 32), self.boxes, self.classes, strict=True
            ):
                sides = torch.softmax(box(level).flatten(2).unflatten(1, (4, 16)), 2)
                distance = (sides * self.bins[None, None, :, None]).sum(2)
                rows, columns = (torch.arange(n, dtype=torch.float32) + 0.5 for n in level.shape[-2:])
                y, x = torch.meshgrid(rows, columns, indexing="ij")
                centre = torch.stack([x.flatten(), y.flatten()])[None]
                first, last = centre - distance[:, :2], centre + distance[:, 2:]
                boxes = torch.cat([(first + last) / 2, last - first], 1) * stride
                found.append(torch.cat([boxes, torch.sigmoid(label(level).flatten(2))], 1))
            return torch.cat(found, 2)

    return Detector()


def diffusion_unet(width: int) -> Any:
    """A latent diffusion U-Net in small: residual blocks with group norms and time, self- and cross-attention.

    (latents [batch, 4, 32, 32], time [batch, 1], text [batch, 77, 256]) -> noise [batch, 4, 32, 32].
    """
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels: int, out: int) -> None:
            super().__init__()
            self.norm1, self.conv1 = nn.GroupNorm(32, channels), nn.Conv2d(channels, out, 3, padding=1)
            self.time = nn.Linear(4 * width, out)
            self.norm2, self.conv2 = nn.GroupNorm(32, out), nn.Conv2d(out, out, 3, padding=1)
            self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

        def forward(self, x: Any, time: Any) -> Any:
            y = self.conv1(nn.functional.silu(self.norm1(x))) + self.time(nn.functional.silu(time))[:, :, None, None]
            return self.skip(x) + self.conv2(nn.functional.silu(self.norm2(y)))

    class Heads(nn.Module):
        def __init__(self, channels: int, keys: int) -> None:
            super().__init__()
            self.heads = channels // 32
            self.q, self.k, self.v = (nn.Linear(n, channels, bias=False) for n in (channels, keys, keys))
            self.leave = nn.Linear(channels, channels)

        def forward(self, x: Any, keys: Any) -> Any:
            q, k, v = (
                part.unflatten(-1, (self.heads, 32)).transpose(1, 2) for part in (self.q(x), self.k(keys), self.v(keys))
            )
            made = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.leave(made.transpose(1, 2).flatten(2))

    class Attend(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(32, channels)
            self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
            self.own, self.cross = Heads(channels, channels), Heads(channels, 256)
            self.gate, self.down = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)

        def forward(self, x: Any, text: Any) -> Any:
            rows = self.norm(x).flatten(2).transpose(1, 2)
            y = self.norms[0](rows)
            rows = rows + self.own(y, y)
            rows = rows + self.cross(self.norms[1](rows), text)
            wide, gate = self.gate(self.norms[2](rows)).chunk(2, -1)
            rows = rows + self.down(wide * nn.functional.gelu(gate))
            return x + rows.transpose(1, 2).unflatten(2, x.shape[-2:])

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(64, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
            self.enter, self.leave = nn.Conv2d(4, width, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)
            self.down1, self.look1 = Residual(width, width), Attend(width)
            self.shrink = nn.Conv2d(width, width, 3, 2, 1)
            self.down2, self.look2 = Residual(width, 2 * width), Attend(2 * width)
            self.bottom, self.look3 = Residual(2 * width, 2 * width), Attend(2 * width)
            self.up2, self.look4 = Residual(4 * width, width), Attend(width)
            self.up1, self.look5 = Residual(2 * width, width), Attend(width)
            self.norm = nn.GroupNorm(32, width)

        def forward(self, latents: Any, time: Any, text: Any) -> Any:
            angles = time * torch.exp(-torch.arange(32.0) * 0.28)[None]
            time = self.time(torch.cat([torch.cos(angles), torch.sin(angles)], 1))
            first = self.look1(self.down1(self.enter(latents), time), text)
            second = self.look2(self.down2(self.shrink(first), time), text)
            x = self.look3(self.bottom(second, time), text)
            x = self.look4(self.up2(torch.cat([x, second], 1), time), text)
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.look5(self.up1(torch.cat([x, first], 1), time), text)
            return self.leave(nn.functional.silu(self.norm(x)))

    return Denoiser()


def wav2vec2(layers: int) -> Any:
    """wav2vec2-base's front end and sizes with few layers. samples [batch, time] -> logits."""
    model = from_config("Wav2Vec2ForCTC", "Wav2Vec2Config", "sdpa", num_hidden_layers=layers)
    return calling(model, lambda body, samples: body(input_values=samples).logits)


def conformer(layers: int) -> Any:
    """A Conformer with relative positions over wav2vec2's front end. samples [batch, time] -> logits."""
    model = from_config(
        "Wav2Vec2ConformerForCTC", "Wav2Vec2ConformerConfig", num_hidden_layers=layers, hidden_size=256,
        intermediate_size=1024, num_attention_heads=4, vocab_size=32,
    )  # fmt: skip
    return calling(model, lambda body, samples: body(input_values=samples).logits)


def conv_tasnet(width: int, repeats: int) -> Any:
    """Conv-TasNet in small: learned filters, dilated depthwise stacks, masks, two sources. samples [batch, 1, time]."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, dilation: int) -> None:
            super().__init__()
            self.enter, self.leave = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(2 * width, width, 1)
            self.act1, self.act2 = nn.PReLU(), nn.PReLU()
            self.norm1, self.norm2 = nn.GroupNorm(1, 2 * width), nn.GroupNorm(1, 2 * width)
            self.depth = nn.Conv1d(2 * width, 2 * width, 3, padding=dilation, dilation=dilation, groups=2 * width)

        def forward(self, x: Any) -> Any:
            y = self.norm1(self.act1(self.enter(x)))
            return x + self.leave(self.norm2(self.act2(self.depth(y))))

    class Separator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Conv1d(1, 256, 16, 8, bias=False)
            self.decode = nn.ConvTranspose1d(256, 1, 16, 8, bias=False)
            self.norm, self.enter = nn.GroupNorm(1, 256), nn.Conv1d(256, width, 1)
            self.blocks = nn.Sequential(*(Block(2**d) for _ in range(repeats) for d in range(6)))
            self.masks = nn.Conv1d(width, 512, 1)

        def forward(self, samples: Any) -> Any:
            coded = torch.relu(self.encode(samples))
            masks = torch.relu(self.masks(self.blocks(self.enter(self.norm(coded))))).unflatten(1, (2, 256))
            return torch.cat([self.decode(coded * masks[:, source]) for source in range(2)], 1)

    return Separator()


def crnn(classes: int) -> Any:
    """CRNN for a line of text: convolutions, pools that keep the width, two bidirectional LSTMs.

    image [batch, 1, 32, width] -> logits [width / 4 + 1, batch, classes].
    """
    from torch import nn

    def conv(channels: int, out: int, norm: bool = False) -> list[Any]:
        layer = nn.Conv2d(channels, out, 3, padding=1)
        return [layer, nn.BatchNorm2d(out), nn.ReLU()] if norm else [layer, nn.ReLU()]

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *conv(1, 64), nn.MaxPool2d(2), *conv(64, 128), nn.MaxPool2d(2), *conv(128, 256, True), *conv(256, 256),
                nn.MaxPool2d((2, 2), (2, 1), (0, 1)), *conv(256, 512, True), *conv(512, 512),
                nn.MaxPool2d((2, 2), (2, 1), (0, 1)), nn.Conv2d(512, 512, 2), nn.BatchNorm2d(512), nn.ReLU(),
            )  # fmt: skip
            self.first = nn.LSTM(512, 256, bidirectional=True)
            self.second = nn.LSTM(512, 256, bidirectional=True)
            self.head = nn.Linear(512, classes)

        def forward(self, image: Any) -> Any:
            steps = self.body(image).squeeze(2).permute(2, 0, 1)
            return self.head(self.second(self.first(steps)[0])[0])

    return Reader()


def mobilevit() -> Any:
    """MobileViT-xxs: mobile blocks and small transformers over patches. pixels [batch, 3, 256, 256] -> logits."""
    model = from_config(
        "MobileViTForImageClassification", "MobileViTConfig", hidden_sizes=[64, 80, 96],
        neck_hidden_sizes=[16, 16, 24, 48, 64, 80, 320], expand_ratio=2.0,
    )  # fmt: skip
    return calling(model, lambda body, pixels: body(pixel_values=pixels).logits)


def nearest(rows: int, features: int, count: int) -> Any:
    """k-nearest neighbours by squared distance: x [batch, features] -> (mean label, indices)."""
    import torch
    from torch import nn

    class Nearest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.known = nn.Parameter(torch.randn(rows, features))
            self.labels = nn.Parameter(torch.randn(rows))

        def forward(self, x: Any) -> Any:
            apart = (x**2).sum(1, keepdim=True) - 2 * x @ self.known.T + (self.known**2).sum(1)[None]
            found = torch.topk(apart, count, dim=1, largest=False).indices
            return self.labels[found].mean(1), found

    return Nearest()


def vits(layers: int) -> Any:
    """A VITS voice: text encoder, stochastic durations, flows, a HiFi-GAN decoder, without noise so that all engines
    say the same. ids [1, letters] -> waveform [1, samples], whose length only the durations decide."""
    model = from_config(
        "VitsModel", "VitsConfig", "eager", vocab_size=64, num_hidden_layers=layers, noise_scale=0.0,
        noise_scale_duration=0.0, wavenet_dropout=0.0, activation_dropout=0.0,
    )  # fmt: skip
    return calling(model, lambda body, ids: body(input_ids=ids).waveform)


def efficientformer() -> Any:
    """EfficientFormer-L1: blocks that mix by average pooling, and one of attention at 7x7. pixels [batch, 3, 224, 224]
    -> logits."""
    import torch
    from torch import nn

    def convolution(given: int, made: int, kernel: int = 1, stride: int = 1) -> Any:
        return nn.Sequential(nn.Conv2d(given, made, kernel, stride, kernel // 2), nn.BatchNorm2d(made))

    class Scaled(nn.Module):
        """x + scale * inner(x)."""

        def __init__(self, inner: Any, shape: tuple[int, ...]) -> None:
            super().__init__()
            self.inner, self.scale = inner, nn.Parameter(torch.rand(shape) * 0.5)

        def forward(self, x: Any) -> Any:
            return x + self.scale * self.inner(x)

    class Pooling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

        def forward(self, x: Any) -> Any:
            return self.pool(x) - x

    class Attention(nn.Module):
        """Heads of 32 keys and 128 values over the positions, with a bias for each pair."""

        def __init__(self, width: int, positions: int) -> None:
            super().__init__()
            self.joined, self.out = nn.Linear(width, 8 * 192), nn.Linear(8 * 128, width)
            self.bias = nn.Parameter(torch.randn(8, positions, positions))

        def forward(self, x: Any) -> Any:
            split = self.joined(x).reshape(x.shape[0], x.shape[1], 8, 192).permute(0, 2, 1, 3)
            q, k, v = split.split([32, 32, 128], dim=3)
            weights = (q @ k.transpose(-2, -1) * 32**-0.5 + self.bias).softmax(-1)
            return self.out((weights @ v).transpose(1, 2).reshape(x.shape[0], x.shape[1], 8 * 128))

    class Head(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            inner = nn.Sequential(nn.LayerNorm(width), Attention(width, 49))
            wide = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.blocks = nn.Sequential(Scaled(inner, (width,)), Scaled(wide, (width,)))
            self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, 1000)

        def forward(self, x: Any) -> Any:
            return self.classes(self.norm(self.blocks(x.flatten(2).transpose(1, 2))).mean(1))

    def block(width: int) -> list[Any]:
        wide = nn.Sequential(convolution(width, 4 * width), nn.GELU(), convolution(4 * width, width))
        return [Scaled(Pooling(), (width, 1, 1)), Scaled(wide, (width, 1, 1))]

    widths, depths = (48, 96, 224, 448), (3, 2, 6, 3)
    parts: list[Any] = [convolution(3, 24, 3, 2), nn.ReLU(), convolution(24, 48, 3, 2), nn.ReLU()]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            parts.append(convolution(widths[stage - 1], width, 3, 2))
        for _ in range(depth):
            parts += block(width)
    return nn.Sequential(*parts, Head(widths[-1]))


ARCHITECTURES: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        clip_text, clip_image, detr, yolos, yolo, diffusion_unet, wav2vec2, conformer, conv_tasnet, crnn, mobilevit,
        nearest, vits, efficientformer,
    )
}  # fmt: skip
