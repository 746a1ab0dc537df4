"""How netCDF files are opened, by whichever room."""

from typing import Any

# For xarray. Files are renamed into place whole, so nobody has to be locked out of one, and some
# file systems have no locks.
READING: dict[str, Any] = {"engine": "h5netcdf", "driver_kwds": {"locking": False}}
