"""Read a page with rapidocr on arenaut: `python examples/ocr_page.py page.png` (pip install rapidocr_onnxruntime)."""

import sys

import arenaut.compat.onnxruntime

arenaut.compat.onnxruntime.install()  # before what imports onnxruntime

from rapidocr_onnxruntime import RapidOCR  # noqa: E402

found, _ = RapidOCR()(sys.argv[1])
for _, text, score in found or []:
    print(f"{float(score):.2f}  {text}")
