"""skl2onnx: sixty pipelines of scikit-learn."""

import warnings

import numpy as np
import onnxruntime as rt
from clock import report
from skl2onnx import to_onnx
from sklearn import (
    calibration,
    cluster,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import make_classification, make_regression

warnings.simplefilter("ignore")
X, C = make_classification(160, 8, n_informative=5, n_classes=3, random_state=0)
X = X.astype(np.float32)
_, Y = make_regression(160, 8, random_state=0)
POSITIVE = np.abs(X)
S = preprocessing.StandardScaler
CLASSIFIERS = [
    linear_model.LogisticRegression(),
    linear_model.LogisticRegressionCV(cv=2),
    linear_model.RidgeClassifier(),
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    linear_model.Perceptron(random_state=0),
    linear_model.PassiveAggressiveClassifier(random_state=0),
    svm.SVC(probability=True, random_state=0),
    svm.SVC(kernel="linear", random_state=0),
    svm.NuSVC(random_state=0, probability=True),
    tree.DecisionTreeClassifier(random_state=0),
    tree.ExtraTreeClassifier(random_state=0),
    ensemble.RandomForestClassifier(20, random_state=0),
    ensemble.ExtraTreesClassifier(20, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
    ensemble.BaggingClassifier(linear_model.LogisticRegression(), random_state=0),
    ensemble.AdaBoostClassifier(n_estimators=8, random_state=0),
    ensemble.BaggingClassifier(random_state=0),
    ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())],
        voting="soft",
        flatten_transform=False,
    ),
    neighbors.KNeighborsClassifier(),
    naive_bayes.GaussianNB(),
    naive_bayes.BernoulliNB(),
    neural_network.MLPClassifier(hidden_layer_sizes=(16,), max_iter=60, random_state=0),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), cv=2),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(),
    linear_model.ElasticNet(),
    linear_model.BayesianRidge(),
    linear_model.ARDRegression(),
    linear_model.HuberRegressor(max_iter=500),
    linear_model.TheilSenRegressor(random_state=0, max_subpopulation=50),
    linear_model.SGDRegressor(random_state=0),
    svm.SVR(),
    svm.LinearSVR(random_state=0),
    tree.DecisionTreeRegressor(random_state=0),
    ensemble.RandomForestRegressor(20, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0),
    ensemble.ExtraTreesRegressor(20, random_state=0),
    ensemble.AdaBoostRegressor(n_estimators=8, random_state=0),
    neighbors.KNeighborsRegressor(),
    neural_network.MLPRegressor(hidden_layer_sizes=(16,), max_iter=60, random_state=0),
    cross_decomposition.PLSRegression(2),
    multioutput.MultiOutputRegressor(linear_model.Ridge()),
]
TRANSFORMERS = [
    preprocessing.StandardScaler(),
    preprocessing.MinMaxScaler(),
    preprocessing.RobustScaler(),
    preprocessing.MaxAbsScaler(),
    preprocessing.Normalizer(),
    preprocessing.PolynomialFeatures(2),
    preprocessing.PowerTransformer(),
    preprocessing.KBinsDiscretizer(4, encode="onehot-dense"),
    decomposition.PCA(3),
    decomposition.TruncatedSVD(3, random_state=0),
    cluster.KMeans(3, n_init=2, random_state=0),
    impute.SimpleImputer(),
    feature_selection.SelectKBest(k=4),
    decomposition.IncrementalPCA(3),
]


def session(model, x):
    onx = to_onnx(model, x, options={"zipmap": False} if hasattr(model, "predict_proba") else None, target_opset=17)
    return rt.InferenceSession(onx.SerializeToString(), providers=["CPUExecutionProvider"]), {"X": x[:40]}


made = []
for model in CLASSIFIERS:
    made.append(session(pipeline.make_pipeline(S(), model).fit(X, C), X))
for model in REGRESSORS:
    target = np.stack([Y, -Y], 1) if isinstance(model, multioutput.MultiOutputRegressor) else Y
    made.append(session(pipeline.make_pipeline(S(), model).fit(X, target), X))
for model in TRANSFORMERS:
    made.append(session(model.fit(X, C), X))
assert len(made) == 60


def run():
    return [[np.asarray(o) for o in s.run(None, feeds)] for s, feeds in made]


report(run, 3)
