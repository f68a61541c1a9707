-- +goose Up
CREATE TABLE audit_events (
    event_id              uuid        PRIMARY KEY,
    -- The instant, to order and filter by; and the time as its sender wrote it, because timestamptz forgets the zone.
    event_timestamp       timestamptz NOT NULL,
    event_timestamp_given text        NOT NULL,
    version               text        NOT NULL,
    event_type            text        NOT NULL,
    event_category        text        NOT NULL,
    event_action          text        NOT NULL,
    event_outcome         text        NOT NULL,
    correlation_id        text        NOT NULL,
    event_data            jsonb       NOT NULL,
    actor_type            text,
    actor_id              text,
    actor_ip              text,
    resource_type         text,
    resource_id           text,
    parent_event_id       uuid,
    parent_event_date     text,
    namespace             text,
    cluster_id            text,
    severity              text,
    duration_ms           bigint,
    error_code            text,
    error_message         text,
    retention_days        integer,
    is_sensitive          boolean,
    stored_at             timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE audit_events;
