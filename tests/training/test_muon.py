"""Muon: orthogonal steps, and the same steps as torch's own."""

import pytest
import torch

from cdam_bench.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (3, 8, 8)])
def test_an_orthogonalised_matrix_has_singular_values_near_one_and_the_same_singular_vectors(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.mT @ orthogonalised(matrix) @ vh.mT
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    large = s > 0.05 * s.amax(-1, keepdim=True)  # five iterations do not reach the tiny ones
    assert ((diagonal > 0.6) & (diagonal < 1.25))[large].all()
    assert torch.allclose(inside, torch.diag_embed(diagonal), atol=1e-10)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon")
def test_steps_are_those_of_torchs_muon_but_for_its_rounding():
    torch.manual_seed(0)
    start, gradients = torch.randn(12, 20), torch.randn(5, 12, 20)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    one = Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.2)
    other = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        for weight, optimiser in ((ours, one), (theirs, other)):
            weight.grad = gradient.clone()
            optimiser.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # bfloat16 keeps 8 bits


def test_stacked_queries_keys_and_values_are_moved_one_by_one():
    torch.manual_seed(0)
    stacked = torch.zeros(12, 4, requires_grad=True)
    stacked.grad = torch.randn(12, 4)
    Muon([stacked], lr=1.0, weight_decay=0.0).step()
    for part, gradient in zip(stacked.split(4), stacked.grad.split(4), strict=True):
        alone = torch.zeros(4, 4, requires_grad=True)
        alone.grad = gradient
        Muon([alone], lr=1.0, weight_decay=0.0).step()
        assert torch.allclose(part, alone, atol=1e-6)
