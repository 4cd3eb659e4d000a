-- Keys of the gateway by their SHA-256, and what budgets have used.

CREATE TABLE llm_gateway.keys (
  sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
  name text NOT NULL,
  -- The fields of gateway.keys of the settings, under the same names.
  spec jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- From then on it is refused: revoked, or replaced by another key of its name. NULL: never.
  ends_at timestamptz
);
CREATE INDEX keys_name ON llm_gateway.keys (name);

-- A row for each gateway pod that counted something for a key in a period. Only this pod writes it.
CREATE TABLE llm_gateway.budgets (
  name text NOT NULL,
  -- When the period ends.
  ends_at timestamptz NOT NULL,
  replica text NOT NULL,
  tokens bigint NOT NULL,
  -- Billionths of a US dollar.
  nano bigint NOT NULL,
  -- Not yet known to Redis.
  unsettled_tokens bigint NOT NULL,
  unsettled_nano bigint NOT NULL,
  PRIMARY KEY (name, ends_at, replica)
);
CREATE INDEX budgets_ends_at ON llm_gateway.budgets (ends_at);

-- Gateway pods forget a key that changed at once.
CREATE FUNCTION llm_gateway.notify_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('llm_gateway_keys', encode(coalesce(NEW.sha256, OLD.sha256), 'hex'));
  RETURN NULL;
END
$$;
CREATE TRIGGER notify_key AFTER INSERT OR UPDATE OR DELETE ON llm_gateway.keys
  FOR EACH ROW EXECUTE FUNCTION llm_gateway.notify_key();
