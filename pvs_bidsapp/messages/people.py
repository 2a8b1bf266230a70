"""Messages about participants.tsv, about the designs of the group level, and about the results it reads."""

from __future__ import annotations

from collections.abc import Iterable

from .message import Caution, Refusal


def listed(values: Iterable[object], most: int = 5, longest: int = 60) -> str:
    """The first values of a list as text, and the number of the others.

    Parameters
    ----------
    values : iterable
    most : int
        Number of values that are written out.
    longest : int
        Characters of a value, after which it is cut.
    """
    texts = [str(v) for v in values]
    shown = ', '.join(t if len(t) <= longest else f'{t[: longest - 1]}…' for t in texts[:most])
    return f'{shown} and {len(texts) - most} more' if len(texts) > most else shown


# ---- participants.tsv: the file

NO_TABLE = Caution(
    code='people-no-table',
    text='not found{instead}; tables will lack age and sex',
    mend='write a tab-separated table with a column participant_id, if columns are needed',
)
TABLE_UNREADABLE = Caution(
    code='people-table-unreadable',
    text='cannot be read ({reason}); tables will lack age and sex',
    mend='make it readable; if it is a link to content that is not there, fetch it (datalad get)',
)
TABLE_LARGE = Refusal(
    code='people-table-large',
    text='has {size}, more than {limit}',
    mend='keep only the columns and rows that are needed',
)
TABLE_DAMAGED = Refusal(
    code='people-table-damaged',
    text='is not a text table ({reason})',
    mend='export it as tab-separated text in UTF-8',
)
TABLE_NOT_TABBED = Refusal(
    code='people-table-not-tabbed',
    text='its columns are separated by spaces',
    mend='separate them by tabs',
)
TABLE_SHIFTED = Refusal(
    code='people-table-shifted',
    text='{count} of {rows} rows have more cells than there are names of columns',
    mend='give each column a name (in R: write.table with row.names = FALSE)',
)
TABLE_EMPTY = Caution(
    code='people-table-empty',
    text='lists nobody; tables will lack age and sex',
    mend='write one row for each person',
)
ENCODING = Caution(
    code='people-encoding',
    text='is not in UTF-8; read as {encoding}, so that letters beyond ASCII may be wrong',
    mend='save it in UTF-8',
)
SEPARATOR = Caution(
    code='people-separator',
    text='its columns are separated by {separator}, not by tabs; read all the same',
    mend='separate them by tabs',
)
STRAY_QUOTES = Caution(
    code='people-stray-quotes',
    text='a quotation mark without its partner is ignored in line {lines}',
    mend='remove it',
)
INVISIBLE = Caution(
    code='people-invisible',
    text='{count} invisible characters are ignored',
    mend='remove them, if names or values look wrong',
)
SHORT_ROWS = Caution(
    code='people-short-rows',
    text='line {lines} has fewer cells than there are columns; the last ones count as missing',
    mend='write n/a where a value is missing, so that no value slips into another column',
)
LONG_ROWS = Caution(
    code='people-long-rows',
    text='line {lines} has more cells than there are columns; all its values count as missing',
    mend='find the tab that does not belong there',
)
UNNAMED_COLUMN = Caution(
    code='people-unnamed-column',
    text='column {number} has no name and is called {name}',
    mend='give it a name',
)
SAME_COLUMNS = Caution(
    code='people-same-columns',
    text='two columns are called {column} and hold the same values; one is used',
    mend='remove one of them',
)
COLUMNS_DIFFER = Refusal(
    code='people-columns-differ',
    text='two columns are called {column} and hold different values',
    mend='rename one of them',
)
SIDECAR_UNREADABLE = Caution(
    code='people-sidecar-unreadable',
    text='is not used ({reason}): which columns hold codes is not known',
    mend='make it valid JSON, an object with one key for each column',
)

# ---- participants.tsv: people

NO_ID_COLUMN = Caution(
    code='people-no-id-column',
    text='no column participant_id (there are: {columns}); not used',
    mend='{mend}',
)
NO_IDS = Caution(
    code='people-no-ids',
    text='line {lines} has no participant_id and is left out',
    mend='write the label of the person, such as sub-01',
)
REPEATED = Caution(
    code='people-repeated',
    text='{people} listed more than once{differ}; the first row counts',
    mend='keep one row for each person (what differs by session belongs into sub-*_sessions.tsv)',
)
UNKNOWN_PEOPLE = Caution(
    code='people-unknown',
    text='{count} people with results are not in it: {people}{hint}',
    mend='write participant_id as the folders are called, sub- and zeros included',
)
NOBODY_MATCHES = Caution(
    code='people-nobody-matches',
    text='nobody in it has results; it lists {listed}, the results are of {people}{hint}',
    mend='write participant_id as the folders are called, sub- and zeros included',
)
NOBODY = Refusal(
    code='people-nobody',
    text='{option}: nobody in {table} has results; it lists {listed}, the results are of {people}{hint}',
    mend='write participant_id as the folders are called, sub- and zeros included',
)

# ---- participants.tsv: values

COLUMN_TAKEN = Caution(
    code='people-column-taken',
    text='its column {column} has the name of a column of the results and is called {name} here',
    mend='use {name} in options; {column} is that of the results',
)
MISSING_WORDS = Caution(
    code='people-missing-words',
    text='column {column}: {words} counts as missing ({count} rows)',
    mend='write n/a for a missing value; describe a word that is a value in Levels of participants.json',
)
MISSING_CODES = Caution(
    code='people-missing-codes',
    text='column {column}: {codes} counts as missing ({count} rows), as a code that many use',
    mend='write n/a for a missing value; describe a code that is a value in Levels of participants.json',
)
POSSIBLE_CODES = Caution(
    code='people-possible-codes',
    text='column {column}: {codes} may stand for a missing value ({count} rows), but counts as a number',
    mend='write n/a for a missing value',
)
NOT_NUMBERS = Caution(
    code='people-not-numbers',
    text='column {column}: {words} is not a number and counts as missing ({count} rows)',
    mend='write a number, or n/a',
)
INFINITE = Caution(
    code='people-infinite',
    text='column {column}: {words} is infinite and counts as missing ({count} rows)',
    mend='write a number, or n/a',
)
DECIMAL_COMMA = Caution(
    code='people-decimal-comma',
    text='column {column}: numbers such as {words} are read with a decimal comma',
    mend='write a decimal point',
)
AMBIGUOUS_COMMA = Caution(
    code='people-ambiguous-comma',
    text='column {column}: {words} may be thousands or decimals and counts as missing ({count} rows)',
    mend='write a decimal point, and no comma between thousands',
)
SIMILAR_LEVELS = Caution(
    code='people-similar-levels',
    text='column {column}: {words} differ only in case or spaces, but count as different values',
    mend='spell one value in one way',
)
UNDECLARED_LEVELS = Caution(
    code='people-undeclared-levels',
    text='column {column}: {words} is not among its Levels in participants.json ({count} rows)',
    mend='add it to Levels, or correct the value',
)

# ---- tables of sessions and scans

SESSIONS_UNREADABLE = Caution(
    code='people-sessions-unreadable',
    text='is not used ({reason}): what differs between scans of a person is not known',
    mend='make it a tab-separated table with the column that BIDS demands, session_id or filename',
)
TIME_UNIT = Refusal(
    code='people-time-unit',
    text='--time {column}: scans of one person lie {longest} years apart',
    mend='give years, such as age, or dates like 2021-05-12',
)
SESSIONS_LACKING = Caution(
    code='people-sessions-lacking',
    text='no row for {lacking}; there are rows for {there}',
    mend='name the sessions as their folders',
)
SESSIONS_REPEATED = Caution(
    code='people-sessions-repeated',
    text='has several rows of {name}; the first counts',
    mend='keep one',
)
SESSION_VALUES = Caution(
    code='people-session-values',
    text='column {column}: the value of the session is used for {count} scans, not that of participants.tsv',
    mend='nothing, if the sessions have values of their own, such as the age at each',
)
NO_TIME = Refusal(
    code='people-no-time',
    text='--time {column}: nobody has scans at two different times ({known} of {scans} scans have a time)',
    mend='name a column with the years or dates of scans; sub-*_sessions.tsv or *_scans.tsv may hold them',
)

# ---- options that name columns

NO_COLUMN = Refusal(
    code='people-no-column',
    text='{option} {column}: no such column in participants.tsv; there are: {columns}',
    mend='name one of them{hint}',
)
NUMBER_OR_CODE = Caution(
    code='people-number-or-code',
    text='{option} {column}: {count} different whole numbers are used as numbers, not as codes',
    mend='give participants.json Levels if they are codes, Units if they are measurements',
)
ONE_COHORT = Refusal(
    code='people-one-cohort',
    text='--cohort {column}: only one value ({values}); nothing to compare',
    mend='name a column with two or more groups of people',
)
NOTHING_TO_COMPARE = Caution(
    code='people-nothing-to-compare',
    text='--cohort {column}: fewer than two values are held by two or more people; nothing is compared',
    mend='name a column with two or more groups of people',
)
MANY_COHORTS = Refusal(
    code='people-many-cohorts',
    text='--cohort {column}: {count} values, more than {limit}',
    mend='name a column with few groups of people',
)
COMPARED_WITH_ITSELF = Refusal(
    code='people-compared-with-itself',
    text='--compare {name}={folder}: this is OUT_DIR itself',
    mend='name the outputs of another dataset',
)
OTHER_MODEL = Refusal(
    code='people-other-model',
    text='--compare {name}={folder}: made with different models or settings ({other} there, {own} here)',
    mend='run participant alike on both',
)
COMPARED_LACKS = Refusal(
    code='people-compared-lacks',
    text='--match {column}: {folder} has no such column (its participants.tsv was not found?)',
    mend='match on columns that both datasets have',
)
MATCHED_ON_COHORT = Refusal(
    code='people-matched-on-cohort',
    text='--match {column}: this column names the groups that are compared, so that nobody has a partner',
    mend='match on other columns',
)

# ---- ratings and designs

RATING_WORDS = Refusal(
    code='people-rating-words',
    text='--rating {column}: {values} are not numbers, so that the order of the grades is not known',
    mend='write grades as numbers',
)
RATING_MANY = Refusal(
    code='people-rating-many',
    text='--rating {column}: {count} different values, more than the {limit} grades of any scale',
    mend='name a column with grades',
)
TWO_DESIGNS = Refusal(
    code='people-two-designs',
    text='--covariates and --formula are both given, and both name the terms of the regression',
    mend='give one of them',
)
FORMULA = Refusal(
    code='people-formula',
    text='--formula {formula!r}: {reason}',
    mend='give the right-hand side of a formula of patsy, such as "age * sex + ICV"',
)
FORMULA_COHORTS = Caution(
    code='people-formula-cohorts',
    text='the formula holds {columns}, which names the cohorts or does not vary',
    mend='leave it out',
)
FORMULA_NAME = Refusal(
    code='people-formula-name',
    text='--formula {formula!r}: {name} is neither a column nor a function of formulas; columns: {columns}',
    mend='name columns; write Q("...") around a name with spaces or signs',
)
DESIGN_CONSTANT = Refusal(
    code='people-design-constant',
    text='{option}: {columns} has the same value for all {number} people{left_out}',
    mend='leave it out',
)
DESIGN_COLLINEAR = Refusal(
    code='people-design-collinear',
    text='{option}: {columns} cannot be told apart: each follows from the others in these {number} people',
    mend='leave one of them out',
)
DESIGN_LARGE = Refusal(
    code='people-design-large',
    text='{option}: {terms} terms ({columns}) for {number} people{left_out}',
    mend='use fewer covariates, or covariates with fewer levels',
)
DESIGN_LONE = Refusal(
    code='people-design-lone',
    text='{option}: {columns} rests on one person alone ({scans})',
    mend='leave out the term, or merge rare levels',
)
NEARLY_COLLINEAR = Caution(
    code='people-nearly-collinear',
    text='{columns} nearly follow from each other (variance inflation {factor:.0f}): their effects are vague',
    mend='leave one of them out, or centre what enters as a square',
)
NO_HARMONIZING = Refusal(
    code='people-no-harmonizing',
    text='--harmonize needs the library neuroCombat',
    mend="pip install 'pvs-bidsapp[harmonize]'",
)
HARMONIZED_ALONE = Refusal(
    code='people-harmonized-alone',
    text='--harmonize {column}: nothing would use it',
    mend='give --covariates or --formula, too',
)
SITE_ALONE = Refusal(
    code='people-site-alone',
    text='--site {column}: there are no effects to give by site',
    mend='give --cohort, --covariates or --formula, too',
)
FEW_SITES = Refusal(
    code='people-few-sites',
    text='--harmonize {column}: at least two sites of two people each are needed; found {sites}',
    mend='leave --harmonize out',
)
SITE_CONFOUNDED = Refusal(
    code='people-site-confounded',
    text='--harmonize {column}: {columns} cannot be told apart from the site in these {number} people',
    mend='leave out the covariate or --harmonize',
)

# ---- results of participant

NO_RESULTS = Refusal(
    code='people-results-none',
    text='no results of `participant` in it',
    mend='run that first',
)
RESULT_MISSING = Refusal(
    code='people-results-missing',
    text='missing or not readable ({reason})',
    mend='run participant again on its scan',
)
RESULT_DAMAGED = Refusal(
    code='people-results-damaged',
    text='is damaged ({reason})',
    mend='remove it, and run participant again on its scan',
)
RESULTS_MIXED = Refusal(
    code='people-results-mixed',
    text='scans were done with different models or settings ({found})',
    mend='run participant again on all',
)
PRECISION_MIXED = Caution(
    code='people-precision-mixed',
    text='masks were computed in different precisions ({found}), as by a GPU and a CPU; they differ slightly',
    mend='run participant with one --precision on all',
)
RESULT_STRAY = Caution(
    code='people-results-stray',
    text='is not a name or place that participant gives to its results; left out',
    mend='remove it',
)
RESULT_STALE = Caution(
    code='people-results-stale',
    text='failed when it was last run ({reason}); the results of an earlier run are used',
    mend='mend the reason, and run participant again on it',
)
RESULT_UNFINISHED = Caution(
    code='people-results-unfinished',
    text='it was not finished, so that its results may be of two runs; left out',
    mend='run participant again on it',
)
RECORD_DAMAGED = Caution(
    code='people-record-damaged',
    text='this log cannot be read ({reason}); why scans failed may not be known',
    mend='remove it',
)
NO_DATASET = Caution(
    code='people-no-dataset',
    text='the dataset of these results ({folder}) is not there: no columns, and failed scans may be unknown',
    mend='mount it where it was, or ignore this',
)
OTHER_DATASET = Caution(
    code='people-other-dataset',
    text='its results were made from {recorded}, but people are taken from {given}',
    mend='give the dataset from which the results were made as BIDS_DIR',
)
