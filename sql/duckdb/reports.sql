-- Reported emissions by month in kgCO2e: by scope, and in total, each by both methods. The two methods count the same
-- emissions in two ways: never add them.
CREATE OR REPLACE VIEW emissions_by_month AS
WITH reported AS (
    SELECT
        provider,
        date_trunc('month', make_timestamp(epoch_us(period_start)))::DATE AS month,
        scope,
        CASE WHEN accounting_method IN ('location_based', 'both') THEN quantity ELSE 0 END AS location_based,
        CASE WHEN accounting_method IN ('market_based', 'both') THEN quantity ELSE 0 END AS market_based
    FROM current_activities
    WHERE activity_type = 'emissions'
)
SELECT
    provider,
    month,
    sum(CASE WHEN scope = 1 THEN location_based ELSE 0 END) AS scope_1_kg,
    sum(CASE WHEN scope = 2 THEN location_based ELSE 0 END) AS scope_2_location_based_kg,
    sum(CASE WHEN scope = 2 THEN market_based ELSE 0 END) AS scope_2_market_based_kg,
    sum(CASE WHEN scope = 3 THEN location_based ELSE 0 END) AS scope_3_location_based_kg,
    sum(CASE WHEN scope = 3 THEN market_based ELSE 0 END) AS scope_3_market_based_kg,
    sum(location_based) AS location_based_kg,
    sum(market_based) AS market_based_kg
FROM reported
GROUP BY provider, month;

-- Reported emissions by month and service in kgCO2e, by both methods.
CREATE OR REPLACE VIEW emissions_by_service AS
WITH reported AS (
    SELECT
        provider,
        date_trunc('month', make_timestamp(epoch_us(period_start)))::DATE AS month,
        category,
        service_code,
        service_name,
        CASE WHEN accounting_method IN ('location_based', 'both') THEN quantity ELSE 0 END AS location_based,
        CASE WHEN accounting_method IN ('market_based', 'both') THEN quantity ELSE 0 END AS market_based
    FROM current_activities
    WHERE activity_type = 'emissions'
)
SELECT
    provider,
    month,
    category,
    service_code,
    service_name,
    sum(location_based) AS location_based_kg,
    sum(market_based) AS market_based_kg
FROM reported
GROUP BY provider, month, category, service_code, service_name;

-- Reported emissions by month, FOCUS service category and country in kgCO2e, by both methods. Services that the
-- provider does not break out have no category, and what has no place no country.
CREATE OR REPLACE VIEW emissions_by_country AS
WITH reported AS (
    SELECT
        provider,
        date_trunc('month', make_timestamp(epoch_us(period_start)))::DATE AS month,
        service_category,
        country,
        CASE WHEN accounting_method IN ('location_based', 'both') THEN quantity ELSE 0 END AS location_based,
        CASE WHEN accounting_method IN ('market_based', 'both') THEN quantity ELSE 0 END AS market_based
    FROM current_activities
    WHERE activity_type = 'emissions'
)
SELECT
    provider,
    month,
    service_category,
    country,
    sum(location_based) AS location_based_kg,
    sum(market_based) AS market_based_kg
FROM reported
GROUP BY provider, month, service_category, country;

-- Unblended cost of physical usage by month of use and service. Taxes, fees, credits and refunds are no usage: this is
-- not the bill.
CREATE OR REPLACE VIEW usage_cost_by_service AS
WITH metered AS (
    SELECT
        provider,
        date_trunc('month', make_timestamp(epoch_us(period_start)))::DATE AS month,
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
