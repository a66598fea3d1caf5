-- Reported emissions in kgCO2e, fact by fact, by the two methods: null where a fact does not count by one. Of a
-- provider's month whose scope 2 is not reported by a method, no fact has a part in the total by that method: without
-- scope 2 it would be none. Azure reports scope 2 market based only, AWS by both. The two methods count the same
-- emissions in two ways: never add them.
CREATE OR REPLACE VIEW reported_emissions AS
WITH reported AS (
    SELECT
        provider,
        date_trunc('month', to_timestamp(extract(epoch FROM period_start)) AT TIME ZONE 'UTC')::date AS month,
        scope,
        category,
        service_code,
        service_name,
        service_category,
        country,
        CASE WHEN accounting_method IN ('location_based', 'both') THEN quantity END AS location_based_kg,
        CASE WHEN accounting_method IN ('market_based', 'both') THEN quantity END AS market_based_kg
    FROM current_activities
    WHERE activity_type = 'emissions'
),
counted AS (
    SELECT
        reported.*,
        count(CASE WHEN scope = 2 THEN location_based_kg END) OVER (PARTITION BY provider, month)
            AS location_based_scope_2,
        count(CASE WHEN scope = 2 THEN market_based_kg END) OVER (PARTITION BY provider, month)
            AS market_based_scope_2
    FROM reported
)
SELECT
    provider,
    month,
    scope,
    category,
    service_code,
    service_name,
    service_category,
    country,
    location_based_kg,
    market_based_kg,
    CASE WHEN location_based_scope_2 > 0 THEN location_based_kg END AS location_based_total_kg,
    CASE WHEN market_based_scope_2 > 0 THEN market_based_kg END AS market_based_total_kg
FROM counted;

-- Reported emissions by month in kgCO2e: by scope, and in total, each by both methods.
CREATE OR REPLACE VIEW emissions_by_month AS
SELECT
    provider,
    month,
    sum(CASE WHEN scope = 1 THEN location_based_kg END) AS scope_1_kg,
    sum(CASE WHEN scope = 2 THEN location_based_kg END) AS scope_2_location_based_kg,
    sum(CASE WHEN scope = 2 THEN market_based_kg END) AS scope_2_market_based_kg,
    sum(CASE WHEN scope = 3 THEN location_based_kg END) AS scope_3_location_based_kg,
    sum(CASE WHEN scope = 3 THEN market_based_kg END) AS scope_3_market_based_kg,
    sum(location_based_total_kg) AS location_based_kg,
    sum(market_based_total_kg) AS market_based_kg
FROM reported_emissions
GROUP BY provider, month;

-- Reported emissions by month and service in kgCO2e, by both methods.
CREATE OR REPLACE VIEW emissions_by_service AS
SELECT
    provider,
    month,
    category,
    service_code,
    service_name,
    sum(location_based_total_kg) AS location_based_kg,
    sum(market_based_total_kg) AS market_based_kg
FROM reported_emissions
GROUP BY provider, month, category, service_code, service_name;

-- Reported emissions by month, FOCUS service category and country in kgCO2e, by both methods. Services that the
-- provider does not break out have no category, and what has no place no country.
CREATE OR REPLACE VIEW emissions_by_country AS
SELECT
    provider,
    month,
    service_category,
    country,
    sum(location_based_total_kg) AS location_based_kg,
    sum(market_based_total_kg) AS market_based_kg
FROM reported_emissions
GROUP BY provider, month, service_category, country;

-- Unblended cost of physical usage by month of use and service. Taxes, fees, credits and refunds are no usage: this is
-- not the bill.
CREATE OR REPLACE VIEW usage_cost_by_service AS
WITH metered AS (
    SELECT
        provider,
        date_trunc('month', to_timestamp(extract(epoch FROM period_start)) AT TIME ZONE 'UTC')::date AS month,
        category,
        service_code,
        service_name,
        currency,
        cost
    FROM current_activities
    WHERE activity_type = 'usage' AND cost IS NOT NULL
)
SELECT
    provider,
    month,
    category,
    service_code,
    service_name,
    currency,
    sum(cost) AS cost
FROM metered
GROUP BY provider, month, category, service_code, service_name, currency;
