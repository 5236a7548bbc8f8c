"""Of all tests that pytest runs."""


def pytest_terminal_summary(terminalreporter):
    """What tests measured (record_property), whether they passed or not."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {name} {value}")
