"""Who emits what, and who runs on it: the platform's assets, each partitioned by the business day.

| asset | emitted by | consumed by |
| --- | --- | --- |
| raw | ingest_daily | clean_daily |
| clean | clean_daily, gate_override | people_daily, experiments_daily, quality_daily, governance_daily |
| quality | quality_daily | serving_publish |
| vault | governance_daily | nobody inside |
| governed | governance_daily | nobody inside |
| compliance | governance_daily | serving_publish |
| people | people_daily | content_daily, experiments_daily, recs_train |
| catalogue | people_daily | content_daily, recs_train |
| holdings | people_daily | recs_train |
| topics | content_daily | serving_publish |
| together | content_daily | nobody inside |
| similar | content_daily | serving_publish |
| bundles | content_daily | serving_publish |
| pages | content_daily | serving_publish |
| models | recs_train | recs_score |
| recommendations | recs_score | recs_drift, serving_publish |
| recommendation_drift | recs_drift | serving_publish |
| experiment_state | experiments_daily | nobody else |
| experiments | experiments_daily | serving_publish |
| published | serving_publish | nobody inside |
"""

from __future__ import annotations

from airflow.sdk import Asset

RAW = Asset(name="raw", uri="crossdomain://lake/raw")
CLEAN = Asset(name="clean", uri="crossdomain://lake/clean")
QUALITY = Asset(name="quality", uri="crossdomain://lake/serving/drift_results")
VAULT = Asset(name="vault", uri="crossdomain://lake/vault")
GOVERNED = Asset(name="governed", uri="crossdomain://lake/derived/erasures_done")
COMPLIANCE = Asset(name="compliance", uri="crossdomain://lake/serving/compliance")
PEOPLE = Asset(name="people", uri="crossdomain://lake/derived/people")
CATALOGUE = Asset(name="catalogue", uri="crossdomain://lake/derived/catalogue")
HOLDINGS = Asset(name="holdings", uri="crossdomain://lake/derived/holdings")
TOPICS = Asset(name="topics", uri="crossdomain://lake/serving/topics")
TOGETHER = Asset(name="together", uri="crossdomain://lake/derived/taken_together")
SIMILAR = Asset(name="similar", uri="crossdomain://lake/serving/similar_items")
BUNDLES = Asset(name="bundles", uri="crossdomain://lake/serving/bundles")
PAGES = Asset(name="pages", uri="crossdomain://lake/serving/page_recommendations")
MODELS = Asset(name="models", uri="crossdomain://lake/serving/champions")
RECOMMENDATIONS = Asset(name="recommendations", uri="crossdomain://lake/serving/recommendations")
RECOMMENDATION_DRIFT = Asset(name="recommendation_drift", uri="crossdomain://lake/serving/recommendation_drift")
EXPERIMENT_STATE = Asset(name="experiment_state", uri="crossdomain://lake/derived/experiment_state")
EXPERIMENTS = Asset(name="experiments", uri="crossdomain://lake/serving/experiment_metrics")
PUBLISHED = Asset(name="published", uri="crossdomain://serving/current")
