-- The functions of dbtest.AuditGuard. Trigger functions need no grant to be fired.
create schema if not exists dbtest_guard;

create or replace function dbtest_guard.entry() returns trigger language plpgsql as $$
begin
    if new.xid = pg_current_xact_id()::text::bigint then
        perform set_config('dbtest_guard.entry', pg_current_xact_id()::text, true);
    end if;
    return null;
end
$$;

create or replace function dbtest_guard.change() returns trigger language plpgsql as $$
begin
    if current_setting('dbtest_guard.entry', true) is distinct from pg_current_xact_id()::text then
        raise exception '% on %.% without an audit entry in the same transaction', tg_op, tg_table_schema, tg_table_name
            using errcode = '23S01', hint = 'Record the change with the audit recorder in this transaction.';
    end if;
    return null;
end
$$;
