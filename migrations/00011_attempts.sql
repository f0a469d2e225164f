-- +goose Up
-- By time first, so that the index grows at its end: delivery ids are hashes, and everybody who asks for attempts knows
-- when their event was published.
ALTER TABLE attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE attempts ADD CONSTRAINT attempts_pkey PRIMARY KEY (published_at, delivery_id, number);

-- +goose Down
ALTER TABLE attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE attempts ADD CONSTRAINT attempts_pkey PRIMARY KEY (delivery_id, number, published_at);
