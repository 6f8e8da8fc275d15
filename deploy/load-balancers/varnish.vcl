# Varnish in front of three gateways that serve the whole site (server.passthrough = true). It keeps public pictures by
# itself. Headers larger than 8 kB: varnishd -p http_req_hdr_len=16k -p workspace_client=128k
vcl 4.1;

import directors;

probe ready {
    .request = "GET /readyz HTTP/1.1" "Host: localhost" "Connection: close";
    .interval = 1s;
    .timeout = 1s;
    .window = 1;
    .threshold = 1;
    .initial = 1;
}

backend gateway_1 { .host = "127.0.0.1"; .port = "8080"; .connect_timeout = 1s; .first_byte_timeout = 300s; .probe = ready; }
backend gateway_2 { .host = "127.0.0.1"; .port = "8081"; .connect_timeout = 1s; .first_byte_timeout = 300s; .probe = ready; }
backend gateway_3 { .host = "127.0.0.1"; .port = "8082"; .connect_timeout = 1s; .first_byte_timeout = 300s; .probe = ready; }

sub vcl_init {
    # One URL, one gateway: each keeps other pictures in memory.
    new gateways = directors.shard();
    gateways.add_backend(gateway_1);
    gateways.add_backend(gateway_2);
    gateways.add_backend(gateway_3);
    gateways.reconfigure();
}

sub vcl_recv {
    set req.backend_hint = gateways.backend(by=URL);

    # What a visitor says of itself is not believed.
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = "http"; # "https" behind Hitch or another end of TLS
    set req.http.X-Forwarded-Host = req.http.Host;
    unset req.http.Forwarded;

    if (req.http.Upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    # Kept: pictures asked for without a credential. Everything else passes.
    if (req.method != "GET" && req.method != "HEAD" || req.url !~ "^/thumb(\?|/s/)") {
        return (pass);
    }
    if (req.http.Authorization || req.http.X-Cr-Purchase-Ticket || req.http.Cookie ~ "(?i)thumb_") {
        return (pass);
    }
    unset req.http.Cookie;
    # Of Accept the gateways look at the formats that a browser names itself, and no two browsers agree on the rest.
    if (req.http.Accept ~ "q=") {
        return (hash);
    }
    if (req.http.Accept ~ "(?i)image/avif" && req.http.Accept ~ "(?i)image/webp") {
        set req.http.Accept = "image/avif,image/webp";
    } elsif (req.http.Accept ~ "(?i)image/avif") {
        set req.http.Accept = "image/avif";
    } elsif (req.http.Accept ~ "(?i)image/webp") {
        set req.http.Accept = "image/webp";
    } else {
        unset req.http.Accept;
    }
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Connection = req.http.Connection;
    set bereq.http.Upgrade = req.http.Upgrade;
}

sub vcl_backend_fetch {
    if (bereq.retries > 0) {
        set bereq.backend = gateways.backend(by=URL, alt=bereq.retries);
    }
}

sub vcl_backend_response {
    set beresp.do_stream = true;
    set beresp.grace = 0s; # a picture whose grant has ended is shown to nobody
    if (bereq.uncacheable) {
        return (deliver);
    }
    if (beresp.status != 200 || beresp.http.Cache-Control !~ "(?i)(^|[ ,])public([ ,]|$)") {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
    }
    return (deliver);
}

sub vcl_backend_error {
    # A gateway that leaves costs nobody a request: another one answers what may be asked twice.
    if ((bereq.method == "GET" || bereq.method == "HEAD") && bereq.retries < 2) {
        return (retry);
    }
}
