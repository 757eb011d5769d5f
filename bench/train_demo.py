"""Train the classifier that `arenaut demo` ships, and write it with its held-out images as package data.

Data: the 1,797 handwritten digits (8x8, grey levels 0..16) that scikit-learn carries. A fixed permutation holds out 200
images; neither the schedule nor the network was chosen on them. Run it again with

    python bench/train_demo.py

which needs torch, scikit-learn and onnxruntime and takes well under a minute on one core. It writes

    src/arenaut/data/digits.onnx         input "image" float32 [batch, 1, 8, 8] in [0, 1], output "logits" [batch, 10]
    src/arenaut/data/digits_heldout.npz  images uint8 [200, 8, 8] with grey levels 0..16, labels uint8 [200]

A feed is `images[:, None].astype(float32) / 16`.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20
HELD_OUT = 200
EPOCHS = 40
BATCH = 64
OPSET = 21
GREY_LEVELS = 16
MAX_BYTES = 300_000
MIN_ACCURACY = 0.97
DATA = Path(__file__).resolve().parents[1] / "src" / "arenaut" / "data"
MODEL_PATH = DATA / "digits.onnx"
HELD_OUT_PATH = DATA / "digits_heldout.npz"


def as_feed(images: np.ndarray) -> np.ndarray:
    """Scale grey levels [n, 8, 8] in 0..16 to the model's input, float32 [n, 1, 8, 8] in [0, 1]."""
    return np.asarray(images[:, None].astype(np.float32) / GREY_LEVELS, dtype=np.float32)


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (train images, train labels, held-out images, held-out labels), uint8, by a permutation fixed by SEED."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    order = np.random.default_rng(SEED).permutation(len(images))
    held, train = order[:HELD_OUT], order[HELD_OUT:]
    return images[train], labels[train], images[held], labels[held]


def build_network() -> Any:
    """Three Conv + BatchNorm + Relu blocks, two MaxPools, two Gemms: about 31,000 parameters."""
    from torch import nn

    def block(index: int, channels: int, out_channels: int) -> dict[str, nn.Module]:
        return {
            f"conv{index}": nn.Conv2d(channels, out_channels, 3, padding=1),
            f"norm{index}": nn.BatchNorm2d(out_channels),
            f"relu{index}": nn.ReLU(),
        }

    layers = {
        **block(1, 1, 16),
        **block(2, 16, 32),
        "pool2": nn.MaxPool2d(2),
        **block(3, 32, 48),
        "pool3": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "dense4": nn.Linear(48 * 2 * 2, 64),
        "relu4": nn.ReLU(),
        "dense5": nn.Linear(64, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def shifted(images: Any, generator: Any) -> Any:
    """Move each image [n, 1, 8, 8] by -1, 0 or 1 pixel along each axis, filling with background."""
    import torch
    from torch.nn import functional

    padded = functional.pad(images, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(images), 2), generator=generator)
    rows = (offsets[:, :1] + torch.arange(8))[:, :, None]
    columns = (offsets[:, 1:] + torch.arange(8))[:, None, :]
    return padded[torch.arange(len(images))[:, None, None], 0, rows, columns][:, None]


def train(images: np.ndarray, labels: np.ndarray) -> Any:
    """Fit the network on uint8 images [n, 8, 8] and return it in evaluation mode."""
    import torch
    from rich.progress import track

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets = torch.from_numpy(as_feed(images)), torch.from_numpy(labels.astype(np.int64))
    network = build_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in track(range(EPOCHS), description="training"):
        for batch in torch.randperm(len(inputs), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss_of(network(shifted(inputs[batch], generator)), targets[batch]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def export(network: Any, path: Path) -> None:
    """Write the network as ONNX with a dynamic batch; unoptimised, so that BatchNormalization stays a node."""
    import torch

    torch.onnx.export(
        network,
        (torch.zeros(2, 1, 8, 8),),
        path,
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=True,
        optimize=False,
        external_data=False,
        dynamic_shapes={"input": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    strip(path)


def strip(path: Path) -> None:
    """Drop the exporter's notes (stack traces, source paths), which say nothing to a runtime."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    model.doc_string = ""
    model.graph.name = "digits"
    model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del model.functions[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def accuracy(path: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of uint8 images [n, 8, 8] that onnxruntime classifies as their label."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": as_feed(images)})
    return float(np.mean(logits.argmax(axis=1) == labels))


def main() -> None:
    train_images, train_labels, images, labels = split()
    DATA.mkdir(parents=True, exist_ok=True)
    export(train(train_images, train_labels), MODEL_PATH)
    np.savez_compressed(HELD_OUT_PATH, images=images, labels=labels)
    share = accuracy(MODEL_PATH, images, labels)
    print(
        f"{MODEL_PATH.name}: {MODEL_PATH.stat().st_size:,} bytes, held-out accuracy {share:.1%} of {len(labels)} images"
    )
    if share < MIN_ACCURACY or MODEL_PATH.stat().st_size > MAX_BYTES:
        raise SystemExit(f"below the demo's promise: accuracy >= {MIN_ACCURACY:.0%}, size <= {MAX_BYTES:,} bytes")


if __name__ == "__main__":
    main()
