-- JSON Lines of `tacho export jsonl` to Parquet, for any engine: duckdb -c ".read parquet.sql", with `records.jsonl` in the folder.
-- What differs by kind stays JSON; `mono` and sizes stay whole; a bad line ends the run.
COPY (
    SELECT seq, "time"::TIMESTAMP_NS AS "time", mono, kind, via, actor.type AS actor_type, actor.id AS actor, actor.model AS model,
           session, generation, causes, leaf, prev, body, text_of, files, withheld, gone
    FROM read_json('records.jsonl', format = 'newline_delimited', ignore_errors = false, maximum_object_size = 67108864, columns = {
        seq: 'UBIGINT', time: 'VARCHAR', mono: 'UBIGINT', kind: 'VARCHAR', via: 'VARCHAR',
        actor: 'STRUCT(type VARCHAR, id VARCHAR, model VARCHAR, on_behalf_of VARCHAR)',
        session: 'UBIGINT', generation: 'UBIGINT', causes: 'UBIGINT[]', leaf: 'VARCHAR', prev: 'VARCHAR',
        body: 'JSON', text_of: 'JSON', files: 'JSON', withheld: 'VARCHAR[]', gone: 'VARCHAR[]'
    })
    ORDER BY seq
) TO 'records.parquet' (FORMAT parquet, COMPRESSION zstd);
