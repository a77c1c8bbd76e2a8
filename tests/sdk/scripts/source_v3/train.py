"""A training script as users of the SDK v3 write them; `greeting` comes from requirements.txt."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import greeting
import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float, required=True)
parser.add_argument("--notes", type=json.loads, required=True)
options = parser.parse_args()

train = pd.read_csv(Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv", header=None)
validation = pd.read_csv(Path(os.environ["SM_CHANNEL_VALIDATION"]) / "validation.csv", header=None)
model = LogisticRegression(C=options.strength).fit(train.iloc[:, 1:].to_numpy(), train[0])
print(f"accuracy={model.score(validation.iloc[:, 1:].to_numpy(), validation[0]):.6f};")
joblib.dump(model, Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")
facts = {
    "greeting": greeting.WORDS,
    "notes": options.notes,
    "hyperparameters": json.loads(os.environ["SM_HPS"]),
    "host": [os.environ["SM_CURRENT_HOST"], os.environ["SM_CURRENT_INSTANCE_TYPE"]],
    "channels": json.loads(os.environ["SM_CHANNELS"]),
    "colour": os.environ["COLOUR"],
    "job": os.environ["TRAINING_JOB_NAME"],
    "folder": str(Path.cwd()),
}
(Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "facts.json").write_text(json.dumps(facts))
