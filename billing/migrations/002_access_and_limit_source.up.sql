-- access is what the hierarchy was last told that the subscription allows: grace and
-- paid time end without an event, and this finds those whose time is up.
ALTER TABLE strata.subscriptions
	ADD COLUMN access text NOT NULL DEFAULT 'full' CHECK (access IN ('full', 'read_only', 'blocked'));
CREATE INDEX subscriptions_lapsing ON strata.subscriptions (company_id)
	WHERE access = 'full' AND status IN ('past_due', 'cancelled');

-- limit_source says who set limit_value: a change of plan leaves an override alone.
ALTER TABLE strata.usage
	ADD COLUMN limit_source text NOT NULL DEFAULT 'plan' CHECK (limit_source IN ('plan', 'override'));
