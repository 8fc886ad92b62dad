"""A CVXPY problem as HiGHS gets it, and the way back: CVXPY compiles, `compiler.highs` solves in its own process."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from cvxpy.reductions.cvx_attr2constr import CvxAttr2Constr
from cvxpy.reductions.dcp2cone.cone_matrix_stuffing import ConeMatrixStuffing
from cvxpy.reductions.solution import Solution
from cvxpy.reductions.solvers import utilities
from cvxpy.reductions.solvers.conic_solvers.highs_conif import HIGHS
from numpy.typing import NDArray

from compiler.highs import Floats, Matrices, NoAnswer


class Compiled:
    """A linear problem, compiled once: other values of its parameters change numbers in its matrices, not their
    places."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        self._inverse: list[tuple[Any, Any]] = []
        self._places: dict[int, NDArray[np.int64]] = {}

    def matrices(self) -> Matrices:
        """The problem with the parameters as they are set; what CVXPY maximizes, its matrices minimize the negative of.
        Raises `NoAnswer` where CVXPY knows no HiGHS."""
        try:
            data, chain, inverse = self.problem.get_problem_data(cp.HIGHS, enforce_dpp=True)
        except cp.error.SolverError as error:
            raise NoAnswer(str(error)) from error
        n, upper = data["c"].size, data["b"].copy()
        if not self._inverse:
            self._inverse = list(zip(chain.reductions, inverse, strict=True))
            self._locate(n)
        lower = np.where(np.arange(upper.size) < data["dims"].zero, upper, -np.inf)
        binary, whole = data["bool_vars_idx"], np.zeros(n, dtype=np.bool_)
        whole[binary + data["int_vars_idx"]] = True
        low, high = data["lower_bounds"], data["upper_bounds"]
        low = np.full(n, -np.inf) if low is None else low.copy()
        high = np.full(n, np.inf) if high is None else high.copy()
        low[binary], high[binary] = 0, 1
        a = data["A"].tocsc()
        indices, starts = a.indices.astype(np.int32), a.indptr.astype(np.int32)
        return Matrices(data["c"], starts, indices, a.data, lower, upper, low, high, whole)

    def take(self, x: Floats) -> None:
        """Gives the solver's point to the variables."""
        self.problem.unpack(self._inverted(x, None))

    def rows(self, constraint: Any) -> NDArray[np.int64]:
        """The rows of the matrices that a constraint became, in its shape."""
        return self._places[constraint.id]

    def columns(self, variable: Any) -> NDArray[np.int64]:
        """The columns of a variable, in its shape."""
        return self._places[variable.id]

    def _locate(self, columns: int) -> None:
        # CVXPY brings dual values back to constraints; positions in their place tell where each constraint went.
        last = self._inverse[-1][1]
        kept = [*last[HIGHS.EQ_CONSTR], *last[HIGHS.NEQ_CONSTR]]
        rows = np.arange(sum(int(row.size) for row in kept), dtype=np.float64)
        duals = utilities.get_dual_values(rows, utilities.extract_dual_value, kept)
        found = self._inverted(np.zeros(columns), duals).dual_vars
        self._places = {i: np.asarray(place).astype(np.int64) for i, place in found.items()}
        # Variables are not brought back so: on the way, binaries are made zero or one.
        renamed: dict[int, int] = {}
        for reduction, inverse in self._inverse:
            if isinstance(reduction, CvxAttr2Constr) and inverse:
                renamed = {old: new.id for old, new in inverse[0].items()}
        offsets = next(i.var_offsets for r, i in self._inverse if isinstance(r, ConeMatrixStuffing))
        for variable in self.problem.variables():
            start = offsets[renamed.get(variable.id, variable.id)]
            self._places[variable.id] = np.arange(start, start + variable.size).reshape(variable.shape, order="F")

    def _inverted(self, x: Floats, duals: Any) -> Any:
        solution = Solution(cp.OPTIMAL, 0.0, {HIGHS.VAR_ID: x}, duals, {})
        for reduction, inverse in reversed(self._inverse[:-1]):
            solution = reduction.invert(solution, inverse)
        return solution


__all__ = ["Compiled"]
