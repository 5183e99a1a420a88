"""Data: named sets, files and arrays become a `Dataset`; its signature is what a model takes and gives.

    data = load_data("digits", rng=0)
    data.signature.rows(X)          # raw rows, checked and scaled as the training part was

The names below are the room's public ones.
"""
from minnet.data.dataset import Dataset as Dataset
from minnet.data.dataset import from_arrays as from_arrays
from minnet.data.dataset import load_data as load_data
from minnet.data.dataset import load_rows as load_rows
from minnet.data.scaling import SCALINGS as SCALINGS
from minnet.data.scaling import none as none
from minnet.data.scaling import unit as unit
from minnet.data.signature import Scaling as Scaling
from minnet.data.signature import Signature as Signature
from minnet.data.signature import scaled as scaled
from minnet.data.sources import DATASETS as DATASETS
from minnet.data.sources import Raw as Raw
from minnet.data.sources import is_split as is_split
from minnet.data.sources import is_table as is_table
from minnet.data.tasks import TASKS as TASKS
from minnet.data.tasks import task_of as task_of
