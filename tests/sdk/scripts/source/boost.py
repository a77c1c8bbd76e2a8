"""An XGBoost training script as SageMaker's documentation writes them."""

from __future__ import annotations

import argparse
import os

import pandas as pd
import xgboost

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
options = parser.parse_args()

table = pd.read_csv(os.path.join(options.train, "train.csv"), header=None)
matrix = xgboost.DMatrix(table.iloc[:, 1:].to_numpy(), label=table[0])
model = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "seed": 5}, matrix, options.rounds)
model.save_model(os.path.join(options.model_dir, "xgboost-model"))
