"""ultralytics: boxes, masks, key points and turned boxes through its own predictor, and detection with NMS inside.

ultralytics is under the AGPL, so it is in no extra of ours: whoever wants this row installs it. The weights are random
(the published ones are a download); the heads are spread out so that there is something to find.
"""

import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())

import numpy as np
import torch
from clock import report

torch.set_num_threads(1)
folder = Path(tempfile.mkdtemp())
os.chdir(folder)
SIZE = 160
picture = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 1), dtype=np.uint8).repeat(3, 2)  # grey


def exported(name, nms):
    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml", verbose=False)
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    for branch in model.model.model[-1].cv3:  # class scores
        torch.nn.init.normal_(branch[-1].weight, std=0.05)
    with torch.no_grad():  # normalised by what the picture gives, so that scores differ from place to place
        model.model.train()(torch.from_numpy(picture).permute(2, 0, 1)[None].float().repeat(2, 1, 1, 1) / 255)
    model.model.eval()
    made = model.export(format="onnx", imgsz=SIZE, nms=nms, opset=17, simplify=False, verbose=False)
    path = folder / f"{name}{'-nms' if nms else ''}.onnx"
    os.replace(made, path)
    return path


with redirect_stdout(sys.stderr):
    from ultralytics import YOLO
    from ultralytics.utils import LOGGER

    LOGGER.setLevel("ERROR")
    tasks = {"yolo11n": "detect", "yolo11n-seg": "segment", "yolo11n-pose": "pose", "yolo11n-obb": "obb"}
    models = [YOLO(str(exported("yolo11n", True)), task="detect")]
    models += [YOLO(str(exported(name, False)), task=task) for name, task in tasks.items()]


def found(result):
    boxes = result.boxes if result.boxes is not None else result.obb
    parts = [boxes.xyxy, boxes.conf, boxes.cls]
    if result.masks is not None:
        parts.append(result.masks.data.float().mean((1, 2)))
    if result.keypoints is not None:
        parts.append(result.keypoints.xy)
    return [part.cpu().numpy() for part in parts]


def look():
    with redirect_stdout(sys.stderr):
        results = [
            model.predict(picture, imgsz=SIZE, conf=0.3, max_det=10, device="cpu", verbose=False)[0] for model in models
        ]
    assert all(len(result) > 0 for result in results)
    return [found(result) for result in results]


report(look)
