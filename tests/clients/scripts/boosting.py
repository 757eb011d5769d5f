"""onnxmltools: boosted trees of LightGBM and XGBoost."""

import warnings

import numpy as np
import onnxruntime as rt
from clock import report
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import make_classification
from xgboost import XGBClassifier, XGBRegressor

warnings.simplefilter("ignore")
X, C = make_classification(300, 8, n_informative=5, n_classes=3, random_state=0)
X = X.astype(np.float32)
kind = [("input", FloatTensorType([None, 8]))]
models = [
    convert_lightgbm(LGBMClassifier(n_estimators=20, verbose=-1).fit(X, C), initial_types=kind, zipmap=False),
    convert_lightgbm(LGBMRegressor(n_estimators=20, verbose=-1).fit(X, X[:, 0]), initial_types=kind),
    convert_xgboost(XGBClassifier(n_estimators=10).fit(X, C), initial_types=kind),
    convert_xgboost(XGBRegressor(n_estimators=10).fit(X, X[:, 0]), initial_types=kind),
]
sessions = [rt.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]) for m in models]


def run():
    return [[np.asarray(o) for o in s.run(None, {"input": X[:64]})] for s in sessions]


report(run)
