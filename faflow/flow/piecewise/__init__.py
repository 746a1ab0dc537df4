"""Flows of networks with kinks, integrated exactly: events between smooth modes."""

from .exact import check_exact as check_exact
from .exact import exact_course as exact_course
