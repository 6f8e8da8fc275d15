"""Answers repeated requests without aiohttp.

Why a visitor gets nothing here that the long way would not give at the same moment:

1. Requests with one key have one answer. The key holds the target as received, and of the fields those that any rule
   reads (`domain/request_fields.py`): credentials and validators as received, the others by what the rules make of
   them. What the reader does not know for certain (two fields of a name, a body, `Range`, an unknown version) has no
   key, and goes the long way with its bytes unchanged.
2. An answer is remembered for its own request. aiohttp is given one request at a time, and the connection notes the
   key of the bytes that it gives. The interleaving this prevents: two requests in one segment, and the answer to the
   first is remembered under the key of the second. It is offered when its last byte has been handed over, with what was
   known when the request came (`PendingRequest`); an offer from before `forget` is declined.
3. What it rests on still counts. `grants.validity.is_valid` is asked when an answer is offered, and again as soon as
   the memory tier has another version, or some time has gone by. Each change that this process hears of makes another
   version. The interleaving this prevents: a change is heard of between the lookup of a grant and the offer of its
   answer. The grant's stamp is older than the change, so that the offer is declined; where the change is heard of after
   the offer, the next hit asks again.
4. The bytes are those that were shown. A finished answer has no bytes of its own, only a weak reference to the picture
   of the memory tier; a picture that comes back from disk or Redis must have the same type, version and length. One
   that was read there before is not parsed again: what stands before its bytes, its name included, must be the same.
5. Nothing is lost. While a picture is read elsewhere, aiohttp knows nothing of the request. When more bytes come, the
   connection closes, or the picture is gone, aiohttp is given the request, as if it had come just then.
"""
