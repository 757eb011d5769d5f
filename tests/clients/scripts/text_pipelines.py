"""skl2onnx: pipelines of scikit-learn that read text."""

import numpy as np
import onnxruntime as rt
from clock import report
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

TEXTS = np.array(["memory is planned before it runs", "one native call", "planned memory", "the graph is one call"] * 8)
LABELS = np.array([0, 1, 0, 1] * 8)
vectorizers = [TfidfVectorizer(lowercase=False), CountVectorizer(lowercase=False, ngram_range=(1, 2)),
               TfidfVectorizer(lowercase=False, sublinear_tf=True, norm="l1")]  # fmt: skip
sessions = []
for vectorizer in vectorizers:
    model = make_pipeline(vectorizer, LogisticRegression()).fit(TEXTS, LABELS)
    onx = to_onnx(model, initial_types=[("X", StringTensorType([None]))], options={"zipmap": False}, target_opset=17)
    sessions.append(rt.InferenceSession(onx.SerializeToString(), providers=["CPUExecutionProvider"]))


def run():
    return [[np.asarray(o) for o in s.run(None, {"X": TEXTS[:5]})] for s in sessions]


report(run)
