"""A gRPC pair for tests, on the library that applications use: functions for Pod.spawn() and Pod.call(), as in programs.py. It is imported
only in the programs themselves: its threads do not survive a fork."""
import threading
import time
from collections import Counter
from concurrent import futures

SERVICE = "/test.Calls/"
NO_PROXY = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def serve_calls(say, port, name="server", max_streams=None):
    """Says "listening", then one word for each call that its client gave up."""
    import grpc

    def unary(request, context):
        context.set_trailing_metadata((("x-served-by", name),))
        return name.encode() + b":" + request

    def fail(request, context):
        context.set_trailing_metadata((("x-why", "asked for"),))
        context.abort(grpc.StatusCode[request.decode()], "no ä % luck")

    def hang(request, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(30)
        say("given up")
        return b""

    def timeout_left(request, context):
        return f"{context.time_remaining():.3f}".encode()

    def count_down(request, context):
        for number in range(int(request), 0, -1):
            yield str(number).encode()

    def size_of_all(requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def echo(requests, context):
        for request in requests:
            yield request

    def big(request, context):
        for _ in range(int(request)):
            yield bytes(1 << 20)

    one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {"Unary": one(unary), "Fail": one(fail), "Hang": one(hang), "TimeoutLeft": one(timeout_left), "CountDown": many(count_down),
               "SizeOfAll": grpc.stream_unary_rpc_method_handler(size_of_all), "Echo": grpc.stream_stream_rpc_method_handler(echo),
               "Big": many(big)}

    class Calls(grpc.GenericRpcHandler):
        def service(self, details):
            return methods.get(details.method.removeprefix(SERVICE))

    options = [("grpc.so_reuseport", 0), *BIG]
    if max_streams:
        options.append(("grpc.max_concurrent_streams", max_streams))
    server = grpc.server(futures.ThreadPoolExecutor(64), handlers=[Calls()], options=options)
    assert server.add_insecure_port(f"0.0.0.0:{port}") == port
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    server.start()
    say("listening")
    signal.sigwait([signal.SIGUSR1])  # in peace: GOAWAY, and what has begun ends
    server.stop(10).wait()


def channel(address, port):
    import grpc
    return grpc.insecure_channel(f"{address}:{port}", options=NO_PROXY + BIG)


def call(address, port, method, request=b"x", timeout=20):
    """(status, message, answer, trailing metadata) of one unary call on a connection of its own."""
    with channel(address, port) as to:
        return call_on(to, method, request, timeout)


def call_on(to, method, request=b"x", timeout=20):
    import grpc
    try:
        answer, done = to.unary_unary(SERVICE + method).with_call(request, timeout=timeout)
        return "OK", "", answer, dict(done.trailing_metadata())
    except grpc.RpcError as error:
        return error.code().name, error.details(), None, dict(error.trailing_metadata() or ())


def call_many(address, port, count, at_once=20):
    """Who answered `count` unary calls on one connection, and with what status the others ended."""
    with channel(address, port) as to, futures.ThreadPoolExecutor(at_once) as pool:
        return Counter(pool.map(lambda _: _who(call_on(to, "Unary")), range(count)))


def _who(outcome):
    status, message, answer, _ = outcome
    return answer.split(b":")[0].decode() if status == "OK" else f"{status}: {message}"


def call_until_killed(say, address, port, pause=0.001):
    """Unary calls on one connection, one after the other; says how they went at SIGUSR1, and again at each."""
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    seen, lock = Counter(), threading.Lock()

    def run():
        with channel(address, port) as to:
            while True:
                who = _who(call_on(to, "Unary"))
                with lock:
                    seen[who] += 1
                time.sleep(pause)
    threading.Thread(target=run, daemon=True).start()
    say("calling")
    while True:
        signal.sigwait([signal.SIGUSR1])
        with lock:
            say(dict(seen))
            seen.clear()


def count_down(address, port, number):
    with channel(address, port) as to:
        return [int(answer) for answer in to.unary_stream(SERVICE + "CountDown")(str(number).encode(), timeout=30)]


def upload(address, port, messages, size):
    with channel(address, port) as to:
        return int(to.stream_unary(SERVICE + "SizeOfAll")((bytes(size) for _ in range(messages)), timeout=60))


def talk(address, port, words):
    """Says each word only when the one before has come back."""
    heard = []
    with channel(address, port) as to:
        turn = threading.Semaphore(1)

        def say_in_turn():
            for word in words:
                turn.acquire()
                yield word
        for answer in to.stream_stream(SERVICE + "Echo")(say_in_turn(), timeout=30):
            heard.append(answer)
            turn.release()
    return heard


def download_slowly(say, address, port, mebibytes):
    """Takes one of so many messages of 1 MiB, and the others once it is told to (SIGUSR1); says how many bytes there were."""
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    with channel(address, port) as to:
        answers = to.unary_stream(SERVICE + "Big")(str(mebibytes).encode(), timeout=60)
        total = len(next(answers))
        say("begun")
        signal.sigwait([signal.SIGUSR1])
        say(total + sum(len(answer) for answer in answers))
