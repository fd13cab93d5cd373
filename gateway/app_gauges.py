"""Reads off a running gateway what metrics show of this moment. Changes nothing, and knows no metric."""

from typing import TYPE_CHECKING

from gateway.catalog import Catalog
from gateway.telemetry.gauges import Gauges, UpstreamGauge
from upstreams.states import State

if TYPE_CHECKING:
    from gateway.app import Gateway


def gauges(gateway: "Gateway") -> Gauges:
    """The gateway as it is now. Any thread may ask: what is walked here is replaced whole, never changed in place."""
    service = gateway.service
    upstreams = [UpstreamGauge(one.name, one.state is State.READY, one.restarts) for one in gateway.upstreams.values()]
    return Gauges(service.in_flight, service.sessions(), tuple(upstreams), _tools(service.relay.catalog))


def _tools(catalog: Catalog) -> dict[tuple[str, str], None]:
    """Each once, whatever the number of its doors, in their order."""
    routes = (route for door in catalog.doors.values() for route in door.tools.values())
    return dict.fromkeys((route.canonical, route.server) for route in routes)
