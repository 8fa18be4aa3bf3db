"""The status page in Airflow's navigation, and the pictures of a day's content as a tab on the page of a DAG.

The status page says which day of which table is there, and what was last decided.

Every Airflow process loads this file, so nothing heavy is imported at its top: the web application is built when the
API server asks for it, and the lake is opened when somebody looks at the page.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX = "/crossdomain-status"
MOST_DAYS = 92
STATIC = Path(__file__).resolve().parent / "crossdomain_status_static"
PAGE_FILES = {
    "": "page.html",
    "content.html": "content.html",
    **{name: name for name in ("page.css", "page.js", "content.js", "elements.js", "words.js")},
}
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CONTENT_DAG = "content_daily"
MOST_BUNDLES = 10
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PAGE_HEADERS = HEADERS | {
    # The page of an experiment is one file with its own styles, and nothing else: no script, no form, nothing loaded.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
}


def read_overview(days: int) -> dict[str, Any]:
    """The overview of the lake as JSON values, read now."""
    from datetime import UTC, datetime

    from crossdomain.experiments.page_files import page_days
    from crossdomain.jobs.runner import open_lake
    from crossdomain.quality.overview import as_json, overview
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        seen = overview(lake, registry(settings.include), settings, now=datetime.now(UTC), days=days)
    content: dict[str, Any] = as_json(seen)
    pages = page_days(Home(settings.home))
    newest_first = {name: [day.isoformat() for day in reversed(found)][:days] for name, found in pages.items()}
    return content | {"experiment_pages": newest_first}


def read_data_doc(name: str) -> bytes | None:
    """A file of the Data Docs; None if there is none of that name."""
    from crossdomain.quality.data_docs import PAGE_NAME, folder
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home

    path = folder(Home(Settings.from_env().home)) / name
    return path.read_bytes() if PAGE_NAME.match(name) and path.is_file() else None


def read_experiment_page(experiment: str, day: str) -> bytes | None:
    """The page of an experiment as seen on a day; None if there is none."""
    from crossdomain.experiments.page_files import read_page
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home

    return read_page(Home(Settings.from_env().home), experiment, day)


def read_content(day: str | None) -> dict[str, Any]:
    """Days that have pictures, and the strongest bundles of one of them: the given, or the newest."""
    from crossdomain.content.report import plot_days
    from crossdomain.jobs.runner import open_lake
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home
    from crossdomain.tables import registry

    settings = Settings.from_env()
    days = [found.isoformat() for found in reversed(plot_days(Home(settings.home)))]
    shown = day if day in days else next(iter(days), None)
    rows: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    if shown:
        with open_lake(settings) as lake:
            models = _models_of(lake, registry(settings.include), shown)
            spec = registry(settings.include).get("serving.bundles")
            found = [partition for partition in lake.partitions(spec) if partition.ds.isoformat() == shown]
            lake.view(spec, found, schema="shown")
            rows = lake.con.sql("FROM shown.bundles ORDER BY strength DESC, bundle_id").to_arrow_table().to_pylist()
    for row in rows:
        row.update({name: None if row[name] is None else f"{row[name]:.2f}" for name in _PRICES})
    strongest = [{name: row[name] for name in _SHOWN} for row in rows[:MOST_BUNDLES]]
    return {
        "dag": CONTENT_DAG,
        "ds": shown,
        "days": days,
        "bundles": strongest,
        "bundle_count": len(rows),
        "models": models,
    }


def _models_of(lake: Any, tables: Any, day: str) -> list[dict[str, Any]]:
    """Models in force on a day that pictures are kept with: kind, version, day of training, pictures."""
    from crossdomain.jobs.content_plots import PICTURES_OF
    from crossdomain.storage.models import ModelStore

    store, models = ModelStore(lake.home), []
    for kind, (table, trained, _) in PICTURES_OF.items():
        spec = tables.get(f"serving.{table}")
        found = [partition for partition in lake.partitions(spec) if partition.ds.isoformat() == day]
        lake.view(spec, found, schema="shown")
        query = f"SELECT DISTINCT model_version, {trained} FROM shown.{table} ORDER BY ALL"  # noqa: S608 - our own names
        for version, on in lake.con.sql(query).fetchall():
            if pictures := store.pictures(kind, version):
                models.append({"kind": kind, "version": version, "trained": on.isoformat(), "pictures": pictures})
    return models


def read_model_picture(kind: str, version: str, name: str) -> bytes | None:
    """A picture that is kept with a model; None if there is none."""
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home
    from crossdomain.storage.models import ModelStore

    return ModelStore(Home(Settings.from_env().home)).picture(kind, version, name)


_PRICES = ("price_min", "price_max")
_SHOWN = ("title", "blurb", "reason", "strength", "knowledge_items", "beauty_items", *_PRICES)


def read_picture(day: str, name: str) -> bytes | None:
    """A picture of a day's content; None if there is none."""
    from crossdomain.content.report import read_plot
    from crossdomain.settings import Settings
    from crossdomain.storage.home import Home

    return read_plot(Home(Settings.from_env().home), day, name)


def build_app() -> FastAPI:
    """The page, its files and its JSON, for people who may see Airflow's plugins."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import APIRouter, Depends, FastAPI, Query
    from fastapi.responses import JSONResponse, Response

    import crossdomain.jobs.runner
    import crossdomain.quality.overview  # noqa: F401 - loaded now, so that the first reader need not wait for it
    from crossdomain.errors import CrossdomainError

    router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.PLUGINS))])

    def file_response(name: str) -> Response:
        path = STATIC / name
        return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)

    def add_file(route: str, name: str) -> None:
        router.add_api_route(f"/{route}", lambda: file_response(name), methods=["GET"])

    for route, name in PAGE_FILES.items():
        add_file(route, name)

    days_asked = Query(default=14, ge=1, le=MOST_DAYS)

    def overview_json(days: int = days_asked) -> Response:
        try:
            return JSONResponse(read_overview(days), headers=HEADERS)
        except CrossdomainError as error:
            return JSONResponse({"error": str(error)}, status_code=503, headers=HEADERS)

    def data_doc(name: str) -> Response:
        content = read_data_doc(name)
        if content is None:
            return Response("no such page", status_code=404, media_type="text/plain", headers=HEADERS)
        return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=HEADERS)

    def experiment_page(experiment: str, day: str) -> Response:
        content = read_experiment_page(experiment, day)
        if content is None:
            return Response("no such page", status_code=404, media_type="text/plain", headers=HEADERS)
        return Response(content, media_type=MEDIA_TYPES[".html"], headers=PAGE_HEADERS)

    def content_json(ds: str | None = None) -> Response:
        try:
            return JSONResponse(read_content(ds), headers=HEADERS)
        except CrossdomainError as error:
            return JSONResponse({"error": str(error)}, status_code=503, headers=HEADERS)

    def svg_response(content: bytes | None) -> Response:
        if content is None:
            return Response("no such picture", status_code=404, media_type="text/plain", headers=HEADERS)
        return Response(content, media_type=MEDIA_TYPES[".svg"], headers=HEADERS)

    def picture(day: str, name: str) -> Response:
        return svg_response(read_picture(day, name))

    def model_picture(kind: str, version: str, name: str) -> Response:
        return svg_response(read_model_picture(kind, version, name))

    router.add_api_route("/content.json", content_json, methods=["GET"], response_model=None)
    router.add_api_route("/content/{day}/{name}.svg", picture, methods=["GET"], response_model=None)
    router.add_api_route("/models/{kind}/{version}/{name}.svg", model_picture, methods=["GET"], response_model=None)
    router.add_api_route("/overview.json", overview_json, methods=["GET"], response_model=None)
    router.add_api_route("/experiments/{experiment}/{day}.html", experiment_page, methods=["GET"], response_model=None)
    router.add_api_route("/data-docs/{name}", data_doc, methods=["GET"], response_model=None)
    app = FastAPI(title="crossdomain status", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    return app


def _page_address() -> str:
    """Where the page is, also when Airflow's own address has a path."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + PREFIX + "/"


class CrossdomainStatusPlugin(AirflowPlugin):
    """Adds the pages: an entry in the navigation and a tab on the DAG's page."""

    name = "crossdomain_status"
    external_views = [  # noqa: RUF012 - Airflow's own way to declare them
        {
            "name": "数据状态 Data status",
            "href": _page_address(),
            "destination": "nav",
            "category": "browse",
            "url_route": "crossdomain-status",
        },
        {
            # Airflow shows a view of this kind on every DAG's page; the page says whose pictures these are.
            "name": "内容图表 Content",
            "href": _page_address() + "content.html?dag={DAG_ID}",
            "destination": "dag",
            "url_route": "crossdomain-content",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The web application; only the API server asks for it."""
        return [{"app": build_app(), "url_prefix": PREFIX, "name": "crossdomain status"}]
