-- +goose Up
-- Both end in event_id: it makes the order of a page total, so that pages neither repeat nor skip an event.
CREATE INDEX audit_events_by_correlation ON audit_events (correlation_id, event_timestamp DESC, event_id DESC);
CREATE INDEX audit_events_by_time ON audit_events (event_timestamp DESC, event_id DESC);

-- +goose Down
DROP INDEX audit_events_by_time;
DROP INDEX audit_events_by_correlation;
