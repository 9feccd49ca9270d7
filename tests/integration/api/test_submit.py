async def test_a_submitted_run_can_be_read(client, submit):
    run = await submit()
    found = await client.get(run["urls"]["self"])
    assert found.status_code == 200, found.text

    done = await client.post(run["urls"]["cancel"])
    assert done.status_code == 202

