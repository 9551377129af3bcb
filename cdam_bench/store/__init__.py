"""Results on disk: atomic, resumable, self-describing.

    results/cells/<dataset>/<backbone>/<estimator>/
        cell.yaml      what was run: configuration, versions, device, seconds
        chunks/        images done so far, one .npz per chunk
        scores.csv     a row per image; only when complete
        curves.npz     curves per image and their axes; only when complete
        running/       a heartbeat of every job at work on it, errors/ what made jobs fail (progress.py)
    results/shared/<dataset>/<backbone>/<what>-<fingerprint>/
        chunks of what does not depend on the estimator (plain logits, box responses)

Every file is written under a temporary name, synced and renamed: a reader sees a whole file or none, and renaming is the only
atomic step relied on; there are no locks. Any number of jobs may work on one cell: whoever writes a file last wins, and all write
the same. Chunks carry a checksum and the fingerprint of the configuration they belong to; one that is truncated, altered or of
another configuration counts as missing.
"""
