//! Known causes of errors, each with what to do about it.
//!
//! A question that people ask more than once gets a row in the table.

/// Parts of errors, and what to do about them; the first that is found counts.
const CAUSES: &[(&[&str], &str)] = &[
    (
        // Before all others: what an old interpreter stumbles over reads like a driver's error.
        &["3.8 or later is needed"],
        "name a Python of version 3.8 or later with `python: {executable: …}`; its `--version` says \
         what it is",
    ),
    (
        &["its TLS certificate"],
        "renew the file of `ssl_servercert`, or leave that key out for a certificate of the lab's \
         own authority and `ferrolab reload`; a new file is taken up by itself",
    ),
    (
        &["its new TLS certificate"],
        "replace that file, and the one with its key, by a certificate and key that belong together; \
         they are taken up by themselves",
    ),
    (
        &["does not move since"],
        "`kill -CONT PID` lets a stopped process go on; `ferrolab restart SERVICE --force` ends one \
         that hangs in C code, and `watchdog: SECONDS` of the service does so by itself",
    ),
    (
        &["already in use", "Address in use"],
        "another program listens there: `ss -ltnp` shows which; stop it, or give this one another \
         port in the configuration",
    ),
    (
        &["belongs to another lab"],
        "give one of the two labs another `ns_port`, then `ferrolab reload`",
    ),
    (
        &["no such address", "AddrNotAvailable"],
        "`host` must be an address of this machine: `ip address` lists them; `public` is all of \
         them",
    ),
    (
        &["No module named", "ModuleNotFoundError"],
        "the driver's Python lacks that module: install it there (`PYTHON -m pip install …`), or \
         name its folder under `python: {path: […]}`; `ferrolab info` shows which Python that is",
    ),
    (
        &["no such program in PATH", "No such file or directory (os error 2)", "no such file"],
        "check the path that it names; a Python is chosen with `python: {executable: …}`",
    ),
    (
        &["has no class"],
        "check `classname` (and `module`) of the service against the driver's source",
    ),
    (
        &["has no attribute", "cannot import name"],
        "correct the line that it names, or install the version of the library that the driver was \
         written for",
    ),
    (
        &["exposes nothing", "nothing reads the `parameters`"],
        "change the service in the configuration, then `ferrolab reload`",
    ),
    (
        &["is it an executable file?"],
        "the lab's user must be able to run that Python, and to enter each folder above it: \
         `namei -l` on its path shows who may; `python: {executable: …}` chooses another",
    ),
    (
        &["cannot listen"],
        "ports below 1024 are the system's, and a Unix socket needs a folder that the lab's user may \
         write into: choose another in the configuration",
    ),
    (
        &["ermission denied", "PermissionError", "EACCES"],
        "this user may not use that: for a serial or USB device, add the user to the device's \
         group (`ls -l` on the device shows it) and log in again",
    ),
    (
        &["VisaIOError", "VI_ERROR", "SerialException", "could not open port"],
        "the instrument does not answer: check its power, its cable and its address in \
         `parameters`",
    ),
    (
        &["it hangs", "nobody listens"],
        "it was killed and started again; if that goes on, look for what blocks it in its log",
    ),
    (
        &["killed by signal 9", "SIGKILL", "signal: 9"],
        "somebody or the kernel has killed it; `dmesg` tells if memory ran out",
    ),
    (
        &["has not answered yet", "not registered with nameserver"],
        "its services work under their URIs, not yet under their names: start that nameserver, or \
         check its `host` and `ns_port`; the names come by themselves",
    ),
    (
        &["is wanted by two running processes"],
        "rename one of the two in its configuration, or stop it: clients reach the one that keeps the \
         name",
    ),
    (
        &["names of processes that have ended"],
        "start that nameserver again, or check its `host` and `ns_port`; clients that look such a \
         name up find nobody",
    ),
    (
        &["hangs: a write to its disk"],
        "services go on; look at the disk of the logs folder, which may be a network drive that is \
         away",
    ),
    (
        &["notifications to "],
        "`ferrolab notify test` tries each target; those that wait are sent when it is back",
    ),
    (
        &["No space left on device", "os error 28", "Disk quota"],
        "make room on that disk: services go on, but what they would write is lost",
    ),
    (
        &["its URIs have changed"],
        "`ferrolab ps` shows the new ones; a `port` in the configuration keeps them the same",
    ),
    (
        &["the state file "],
        "nothing else is lost; look at what was set aside, and remove it when you need it no longer",
    ),
    (
        &["last good configuration"],
        "`ferrolab config check` on the file that it names shows the problems; then `ferrolab \
         reload`",
    ),
    (&["Read-only file system"], "the disk is mounted read-only: repair or remount it"),
    (
        &["hangs in a device's driver"],
        "not even SIGKILL ends it: unplug the device that it talks to, or restart the host",
    ),
];

/// Beginnings of errors that say how a process ended. Its last output follows after a colon.
const ENDS: [&str; 2] = ["killed by ", "exited with code "];

/// The remedy of an error whose cause is known.
pub(super) fn cause(error: &str) -> Option<&'static str> {
    // Its end is certain. Its output may be older, and about something else.
    let end = ENDS.iter().any(|end| error.starts_with(end)).then(|| error.split(": ").next());
    end.flatten().and_then(cause_in).or_else(|| cause_in(error))
}

fn cause_in(error: &str) -> Option<&'static str> {
    let found = |parts: &&[&str]| parts.iter().any(|part| error.contains(part));
    CAUSES.iter().find(|(parts, _)| found(parts)).map(|(_, advice)| *advice)
}
