"""The terms of a regression: which columns they use, and whether their effects can be told apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
import patsy
from patsy.eval import EvalEnvironment

from ..errors import PVSError
from ..messages import people
from ..messages.message import Finding
from ..messages.people import listed
from .exclusions import level_text

#: Functions of patsy, and of numpy under ``np``, that a formula may use.
FUNCTIONS = frozenset((
    'Q', 'C', 'I', 'center', 'scale', 'standardize', 'bs', 'cr', 'cc', 'te', 'abs', 'round',
    'Treatment', 'Sum', 'Poly', 'Helmert', 'Diff',
))  # fmt: skip
NUMPY = frozenset((
    'abs', 'cbrt', 'clip', 'cos', 'exp', 'expm1', 'log', 'log10', 'log1p', 'log2', 'maximum', 'minimum',
    'power', 'sin', 'sqrt', 'square', 'where',
))  # fmt: skip
#: Singular value of the standardised terms, relative to the largest, below which they depend on each other.
DEPENDENT = 1e-7
#: Share of a term in a dependence, from which it is named.
_INVOLVED = 1e-4
#: Leverage above which a scan is the only one that decides a term.
ALONE = 1 - 1e-8
#: Variance inflation above which there is a word of caution.
INFLATED = 100.0
#: Characters of a formula.
_LONGEST = 2000
#: Codings of factors, which ``C`` takes with or without brackets.
CONTRASTS = frozenset(('Treatment', 'Sum', 'Poly', 'Helmert', 'Diff'))
_SYNTAX = (ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp,
           ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.unaryop, ast.Compare, ast.cmpop, ast.List,
           ast.Tuple)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Design:
    """Terms of a regression.

    Attributes
    ----------
    option : str
        The option that names them, for messages.
    right : str
        Right-hand side of a formula of patsy.
    columns : tuple of str
        Columns that are used.
    factors : frozenset of str
        Columns of numbers that the formula treats as codes.
    aliases : dict of str to str
        Names in `right` by column, where they are not those of the columns.
    plain : tuple of str
        Columns that are terms as they are, not within a function or an interaction alone.
    """

    option: str
    right: str
    columns: tuple[str, ...]
    factors: frozenset[str] = frozenset()
    aliases: dict[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()

    def matrix(self, table: pd.DataFrame) -> pd.DataFrame:
        """Design matrix of the rows of a table.

        Parameters
        ----------
        table : DataFrame
            With a column ``scan`` and `columns`, without missing values. Columns of text are categorical,
            with the levels that occur.

        Returns
        -------
        matrix : DataFrame
            One column for each term, named as in the table of results; the index is that of `table`.

        Raises
        ------
        InputError
            If the formula cannot be evaluated.
        """
        used = table[list(self.columns)].copy()
        for name in used:
            if not pd.api.types.is_numeric_dtype(used[name]):
                # of several datasets, one may have codes as text that are numbers in another
                used[name] = used[name].map(level_text).astype(object)
        used = used.rename(columns=self.aliases)
        try:
            with np.errstate(all='ignore'):
                matrix = patsy.dmatrix(
                    self.right, used, eval_env=EvalEnvironment([{'np': np}]), return_type='dataframe'
                )
        except (patsy.PatsyError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise people.FORMULA.error(formula=self.right, reason=_reason(error)) from error
        finite = np.isfinite(matrix).all(axis=1).reindex(table.index, fill_value=False)
        if not finite.all():
            reason = f'it gives no number for {listed(table.get("scan", table.index.to_series())[~finite])}'
            raise people.FORMULA.error(formula=self.right, reason=reason)
        for term, columns in matrix.design_info.term_slices.items():
            if columns.start == columns.stop:  # of a factor with one level, patsy makes no column
                raise people.DESIGN_CONSTANT.error(
                    option=self.option, columns=self._shown(term.name()), number=len(table), left_out=''
                )
        matrix.columns = [self._shown(name) for name in matrix.columns]
        return matrix

    @property
    def label(self) -> str:
        """The terms in words, for tables."""
        return ' + '.join(self.columns) if self.aliases else self.right

    def without(self, names: Collection[str]) -> Design | None:
        """The design without some columns; None if they are part of a formula.

        Parameters
        ----------
        names : collection of str
            Those that are not in the design are ignored.
        """
        if not set(names) & set(self.columns):
            return self
        return of_covariates([c for c in self.columns if c not in names]) if self.aliases else None

    def beside(self, name: str) -> Design:
        """The design without a column; of a formula that holds it, a term for each other column."""
        return self.without([name]) or of_covariates([c for c in self.columns if c != name])

    def _shown(self, name: str) -> str:
        """Name of a term without the words of patsy."""
        for column, alias in self.aliases.items():
            if name == alias or name.startswith(f'{alias}['):
                return column + name[len(alias) :]
        return re.sub(r'Q\((["\'])(.+?)\1\)', r'\2', name)


def of_covariates(covariates: Sequence[str]) -> Design:
    """A design with one term for each column, whatever it is called.

    Parameters
    ----------
    covariates : sequence of str
    """
    columns = tuple(dict.fromkeys(covariates))
    # names of columns may hold anything, even code, and are not evaluated
    aliases = {name: f'x{k}_' for k, name in enumerate(columns)}
    return Design(
        option='--covariates', right=' + '.join(aliases.values()), columns=columns, aliases=aliases,
        plain=columns,
    )  # fmt: skip


def of_formula(formula: str, known: Collection[str]) -> Design:
    """A design from the right-hand side of a formula.

    Formulas are Python to patsy; here they may hold names of columns, numbers, operators and `FUNCTIONS`.

    Parameters
    ----------
    formula : str
    known : collection of str
        Columns that it may use.

    Raises
    ------
    InputError
        If it is no formula, has no terms, or names something else.
    """
    try:
        if len(formula) > _LONGEST:
            raise ValueError(f'it has more than {_LONGEST} characters')
        if '~' in formula:
            raise ValueError('it has a ~')
        description = patsy.ModelDesc.from_formula(f'~ {formula}')
        factors = {f.code for term in description.rhs_termlist for f in term.factors}
        trees = [ast.parse(code, mode='eval') for code in sorted(factors)]
        if not trees:
            raise ValueError('it has no term')
    except (patsy.PatsyError, SyntaxError, TokenError, ValueError, RecursionError, MemoryError) as error:
        raise people.FORMULA.error(formula=formula[:200], reason=_reason(error)) from error
    columns: dict[str, None] = {}
    for tree in trees:
        columns |= dict.fromkeys(name for name in _columns_of(tree, formula, known) if name in known)
    coded = {name for tree in trees for name in _inside_c(tree)} & set(columns)
    alone = {_only_column(t.factors[0].code) for t in description.rhs_termlist if len(t.factors) == 1}
    return Design(
        option='--formula', right=formula, columns=tuple(columns), factors=frozenset(coded),
        plain=tuple(name for name in columns if name in alone),
    )  # fmt: skip


def check(design: Design, scans: pd.DataFrame, left_out: Sequence[str] = ()) -> list[Finding]:
    """Whether the effects of all terms can be estimated and told apart.

    Parameters
    ----------
    design : Design
    scans : DataFrame
        One row per person, with a value in all columns of the design.
    left_out : sequence of str
        Reasons why others are not in `scans`, for messages.

    Returns
    -------
    findings : list of Finding
        Terms that nearly depend on each other.

    Raises
    ------
    InputError
        If a term is constant, terms depend on each other, one person alone decides a term, or there are at
        least as many terms as people.
    """
    more = f' ({len(left_out)} are left out: {listed(dict.fromkeys(left_out), 3)})' if left_out else ''
    about: dict[str, Any] = {'option': design.option, 'number': len(scans)}
    columns = listed(design.columns, 20)
    if len(scans) == 0:
        raise people.DESIGN_LARGE.error(terms=len(design.columns), columns=columns, left_out=more, **about)
    if same := [c for c in design.columns if is_constant(scans[c])]:
        raise people.DESIGN_CONSTANT.error(columns=listed(same, 20), left_out=more, **about)
    matrix = design.matrix(scans)
    if len(scans) <= matrix.shape[1]:
        raise people.DESIGN_LARGE.error(terms=matrix.shape[1], columns=columns, left_out=more, **about)
    if constant := constant_terms(matrix):
        raise people.DESIGN_CONSTANT.error(columns=listed(constant, 20), left_out=more, **about)
    if dependent := dependent_terms(matrix):
        raise people.DESIGN_COLLINEAR.error(columns=listed(dependent, 20), **about)
    for name, alone in lone_terms(matrix).items():
        names = listed(scans.loc[alone, 'scan'])
        raise people.DESIGN_LONE.error(columns=name, scans=names, option=design.option)
    return _nearly_dependent(matrix)


def objection(matrix: pd.DataFrame) -> str:
    """Why the terms of a design matrix cannot all be estimated; empty if they can.

    Parameters
    ----------
    matrix : DataFrame
        From `Design.matrix`.
    """
    if matrix.empty:
        return 'nobody has a value'
    if constant := constant_terms(matrix):
        return f'{listed(constant)} has the same value for all {len(matrix)} people'
    if len(matrix) <= matrix.shape[1] + 1:
        return f'{len(matrix)} scans are too few'
    if dependent := dependent_terms(matrix):
        return f'{listed(dependent)} cannot be told apart in these {len(matrix)} people'
    if lone := lone_terms(matrix):
        return f'{listed(lone)} rests on one person alone'
    return ''


def with_intercept(matrix: pd.DataFrame) -> pd.DataFrame:
    """A design matrix with an intercept, unless terms such as those of ``0 + C(site)`` hold one together.

    Parameters
    ----------
    matrix : DataFrame
        From `Design.matrix`.
    """
    if 'Intercept' in matrix:
        return matrix
    ones, values = np.ones(len(matrix)), _standardised(matrix)
    rest = ones - values @ np.linalg.lstsq(values, ones, rcond=None)[0]
    if np.abs(rest).max(initial=0) < DEPENDENT:
        return matrix
    return pd.concat([pd.DataFrame({'Intercept': 1.0}, matrix.index), matrix], axis=1)


def constant_terms(matrix: pd.DataFrame) -> list[str]:
    """Names of the columns of a design matrix, but for the intercept, that do not vary.

    Parameters
    ----------
    matrix : DataFrame
        From `Design.matrix`.
    """
    return [c for c in _terms(matrix) if is_constant(matrix[c])]


def dependent_terms(matrix: pd.DataFrame) -> list[str]:
    """Names of the columns of a design matrix that are linear combinations of the others.

    Parameters
    ----------
    matrix : DataFrame
        From `Design.matrix`.
    """
    values = _standardised(matrix)
    # rows may be fewer than columns, and the zeros do not matter
    values = np.vstack([values, np.zeros((max(0, values.shape[1] - values.shape[0]), values.shape[1]))])
    _, sizes, directions = np.linalg.svd(values, full_matrices=False)
    null = directions[sizes <= DEPENDENT * max(sizes.max(initial=0), 1e-300)]
    involved = (np.abs(null) > _INVOLVED).any(axis=0)
    return [c for c, is_involved in zip(_terms(matrix), involved, strict=True) if is_involved]


def lone_terms(matrix: pd.DataFrame) -> dict[str, list[object]]:
    """Terms that one row alone decides, which a robust error cannot judge.

    Parameters
    ----------
    matrix : DataFrame
        Of full rank, with more rows than columns.

    Returns
    -------
    rows : dict of str to list
        Index of the rows by the name of the term.
    """
    q, _ = np.linalg.qr(matrix.to_numpy(float))
    alone = matrix.index[(q**2).sum(axis=1) > ALONE]
    values = pd.DataFrame(_standardised(matrix), matrix.index, _terms(matrix))
    found: dict[str, list[object]] = {}
    for row in alone:
        found.setdefault(str(values.loc[row].abs().idxmax()), []).append(row)
    return found


def is_constant(values: pd.Series) -> bool:
    """Whether all values are the same; there is at least one."""
    return bool((values == values.iloc[0]).all())


def _terms(matrix: pd.DataFrame) -> list[str]:
    return [str(c) for c in matrix if c != 'Intercept']


def _standardised(matrix: pd.DataFrame) -> np.ndarray:
    """The terms without intercept, centred if there is one, each of length 1."""
    values = matrix.drop(columns='Intercept', errors='ignore').to_numpy(float)
    if 'Intercept' in matrix:
        values = values - values.mean(axis=0)
    length = np.linalg.norm(values, axis=0)
    return values / np.where(length > 0, length, 1.0)


def _nearly_dependent(matrix: pd.DataFrame) -> list[Finding]:
    values = _standardised(matrix)
    inflation = np.diag(np.linalg.inv(values.T @ values))
    # of the levels of a factor, those beside a rare one are always inflated
    inflated = {n: f for n, f in zip(_terms(matrix), inflation, strict=True) if f > INFLATED and '[' not in n}
    if not inflated:
        return []
    return [people.NEARLY_COLLINEAR.finding(columns=listed(inflated, 20), factor=max(inflated.values()))]


def _columns_of(tree: ast.AST, formula: str, known: Collection[str]) -> Iterator[str]:
    """Columns that a factor of a formula uses; refuses all that is neither a column nor a function."""
    nodes = list(ast.walk(tree))
    if bad := next((n for n in nodes if not _is_allowed(n)), None):
        raise _unknown(ast.unparse(bad), formula, known)
    functions = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    functions |= {id(n.value) for n in nodes if isinstance(n, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Name) and (id(node) not in functions or node.id not in FUNCTIONS | {'np'}):
            if node.id not in known and node.id not in CONTRASTS:
                raise _unknown(node.id, formula, known)
            yield node.id
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'Q':
            name = getattr(node.args[0], 'value', None) if node.args else None
            if name not in known:
                raise _unknown(repr(name), formula, known)
            yield str(name)


def _only_column(code: str) -> str | None:
    """The column that a factor of a formula is, as a bare name or within ``Q(...)``; None if it is more."""
    node = ast.parse(code, mode='eval').body
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'Q' and node.args:
        return str(getattr(node.args[0], 'value', None))
    return node.id if isinstance(node, ast.Name) else None


def _is_allowed(node: ast.AST) -> bool:
    """Whether this part of a formula can do nothing but compute."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == 'np' and node.attr in NUMPY
    return isinstance(node, _SYNTAX) and not _is_bomb(node)


def _is_bomb(node: ast.AST) -> bool:
    """Whether an operation of constants may take for ever, or all memory."""
    if not isinstance(node, ast.BinOp):
        return False
    sides = [n for n in (node.left, node.right) if isinstance(n, ast.Constant | ast.List | ast.Tuple)]
    is_text = any(not isinstance(getattr(n, 'value', None), int | float) for n in sides)
    is_power = isinstance(node.op, ast.Pow) and not any(isinstance(n, ast.Name) for n in ast.walk(node.left))
    return is_text or is_power


def _unknown(name: str, formula: str, known: Collection[str]) -> PVSError:
    columns = listed(known, 20)
    return people.FORMULA_NAME.error(formula=formula[:200], name=name[:60], columns=columns)


def _inside_c(tree: ast.AST) -> Iterable[str]:
    """Columns that a factor makes categorical by ``C(...)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'C':
            for part in ast.walk(node):
                if isinstance(part, ast.Name):
                    yield part.id
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def _reason(error: BaseException) -> str:
    return ' '.join(str(error).split())[:150] or type(error).__name__
