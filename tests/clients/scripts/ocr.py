"""rapidocr: finds and reads text on a page (detection, angle, recognition)."""

import numpy as np
from clock import report
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

page = Image.new("RGB", (640, 200), "white")
draw = ImageDraw.Draw(page)
font = ImageFont.load_default(36)
draw.text((30, 30), "Memory is planned", fill="black", font=font)
draw.text((30, 110), "before it runs 1234", fill="black", font=font)
engine = RapidOCR(intra_op_num_threads=1)
picture = np.asarray(page)


def read():
    found, _ = engine(picture)
    return [[text, float(score), box] for box, text, score in found]


report(read)
