"""Many songs on many machines: separated, scored, or turned into a teacher's stems.

    catalogue.py    what there is to do: songs in a folder, a list or a bucket, each with a name
    shards.py       which part of it is done here: shard 2 of 7
    addresses.py    folders on this machine and on object stores
    work.py         one song: fetched, done, published
    publishing.py   results appear complete or not at all, and are found again by the next run
    records.py      what was done with a song, and with what
    manifest.py     all records in one file
    dispatch.py     hands songs to workers; lost workers, repeated tries
    waits.py        waits between tries
    processes.py    workers on this machine
    on_ray.py       workers on a Ray cluster
    ray_actor.py    the part of a worker that is sent there

Every song has a record that is written after its results. So a song is done if its record is there,
and the same command, run again, does the rest. Two workers that do the same song do no harm.
"""
