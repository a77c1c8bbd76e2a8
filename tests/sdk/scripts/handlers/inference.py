"""Handlers of a model server as users write them for SageMaker's scikit-learn image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np


def model_fn(model_dir: str) -> Any:
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(body: str | bytes, content_type: str) -> np.ndarray:
    if content_type != "application/json":
        raise ValueError(f"this model reads application/json, not {content_type}")
    return np.array(json.loads(body))


def predict_fn(rows: np.ndarray, model: Any) -> np.ndarray:
    return model.predict_proba(rows)


def output_fn(scores: np.ndarray, accept: str) -> tuple[str, str]:
    return json.dumps({"scores": scores[:, 1].tolist()}), "application/json"
