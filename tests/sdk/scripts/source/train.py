"""A scikit-learn training script as SageMaker's documentation writes them."""

from __future__ import annotations

import argparse
import os
import time

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float)
parser.add_argument("--pause", type=float, default=0.0, help="seconds")
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--validation", default=os.environ["SM_CHANNEL_VALIDATION"])
options = parser.parse_args()
print("training begins", flush=True)
time.sleep(options.pause)

train = pd.read_csv(os.path.join(options.train, "train.csv"), header=None)
validation = pd.read_csv(os.path.join(options.validation, "validation.csv"), header=None)
model = LogisticRegression(C=options.strength).fit(train.iloc[:, 1:].to_numpy(), train[0])
print(f"accuracy={model.score(validation.iloc[:, 1:].to_numpy(), validation[0]):.6f};")
joblib.dump(model, os.path.join(options.model_dir, "model.joblib"))
