"""Reads an event stream by a library of Python and prints each message as a line of JSON; comes back by its id when it is cut.

These libraries read, and leave it to the program to connect again: this is the loop that their documentation shows.
"""

import json
import sys
import time


def by_sseclient(url, headers):
    import requests
    import sseclient

    response = requests.get(url, stream=True, headers={"Accept": "text/event-stream", **headers})
    response.raise_for_status()
    return sseclient.SSEClient(response).events()


def by_httpx_sse(url, headers):
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url, headers=headers) as source:
        yield from source.iter_sse()


def main(library, url):
    read = {"sseclient": by_sseclient, "httpx_sse": by_httpx_sse}[library]
    last_id = ""
    while True:
        try:
            for message in read(url, {"Last-Event-ID": last_id} if last_id else {}):
                last_id = message.id or last_id
                print(json.dumps({"event": message.event, "data": message.data}), flush=True)
        except OSError:
            pass  # requests
        except Exception as error:
            if not type(error).__module__.startswith("httpx"):
                raise
        time.sleep(0.1)


main(*sys.argv[1:])
