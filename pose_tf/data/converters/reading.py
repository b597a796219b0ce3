"""Reads the kinds of files that data sets come in. Errors name the file and what is wrong with it."""

import zipfile

import numpy as np

from pose_tf import pickle_program
from pose_tf.errors import UserError


def check_list(path: str, content: dict, key: str) -> list:
    """The list under a key. UserError if it is anything else."""
    if not isinstance(content.get(key), list):
        raise UserError(f"{path}: '{key}' is not a list")
    return content[key]


def read_mat(path: str) -> dict:
    """The variables of a MATLAB file, structures as objects with attributes.

    Raises:
        UserError: SciPy is not installed, or the file is missing or damaged.
    """
    try:
        import scipy.io
    except ImportError:
        raise UserError("MATLAB files need SciPy: pip install 'pose_tf[convert]'") from None
    try:
        with open(path, "rb") as file:
            return scipy.io.loadmat(file, squeeze_me=True, struct_as_record=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except Exception as error:  # SciPy raises almost anything on damaged bytes
        raise UserError(f"{path} cannot be read as a MATLAB file: {error}") from None


def read_objects(path: str, key: str):
    """An object that NumPy stored in an .npz file, such as nested dictionaries of arrays. Nothing is executed.

    Raises:
        UserError: the file is missing or damaged, or has no such object.
    """
    with pickle_program.named_damage(path), zipfile.ZipFile(path) as archive:
        if f"{key}.npy" not in archive.namelist():
            raise UserError(f"{path} has no array '{key}'")
        with archive.open(f"{key}.npy") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = header(file)
            if dtype.kind != "O":
                raise UserError(f"{path}: '{key}' is not a dictionary")
            array, _ = pickle_program.interpret(path, file)
            return _arrays(array.value().item())


def _arrays(value):
    """Replaces `pickle_program.Array` in containers by arrays."""
    if isinstance(value, pickle_program.Array):
        value = value.value()
        return [_arrays(item) for item in value.ravel()] if value.dtype == object else value
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return [_arrays(item) for item in value] if isinstance(value, list | tuple) else value
