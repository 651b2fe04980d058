package novaconf

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxFileSize bounds one file, and one value after interpolation, in bytes.
const maxFileSize = 16 << 20

// Source is one --config-file or --config-dir argument.
type Source struct {
	Path string
	Dir  bool
}

// plan lists the files to read, in order: oslo.config's default files unless a --config-file is given, its default
// directories unless a --config-dir is given, and then the arguments (cfg.py, _parse_config_files).
func plan(sources []Source, env environment) ([]string, error) {
	var paths []string
	var all []Source
	if !slices.ContainsFunc(sources, func(s Source) bool { return !s.Dir }) {
		paths = defaults(env, ".conf")
	}
	if !slices.ContainsFunc(sources, func(s Source) bool { return s.Dir }) {
		for _, dir := range defaults(env, ".conf.d") {
			all = append(all, Source{Path: dir, Dir: true})
		}
	}
	for _, source := range append(all, sources...) {
		files, err := source.files(env)
		if err != nil {
			return nil, err
		}
		paths = append(paths, files...)
	}
	return paths, nil
}

// defaults is cfg.py's _find_config_files for the project nova and the program kmip-keymgr-helper: for each of the two
// names the first that exists.
func defaults(env environment, extension string) []string {
	dirs := []string{fixPath("~/.nova", env), fixPath("~", env), "/etc/nova", "/etc"}
	for _, name := range [...]string{"SNAP_COMMON", "SNAP"} {
		if snap, _ := env.lookup(name); snap != "" {
			dirs = append(dirs, filepath.Join(snap, "etc", "nova"))
		}
	}
	var found []string
	for _, name := range [...]string{"nova", "kmip-keymgr-helper"} {
		for _, dir := range dirs {
			if path := filepath.Join(dir, name+extension); exists(path) {
				found = append(found, path)
				break
			}
		}
	}
	return found
}

// files are the source itself or the directory's *.conf, hidden ones left out, sorted (cfg.py, ConfigDirAction). A
// directory that exists and cannot be listed has no files there, since Python's glob says so.
func (s Source) files(env environment) ([]string, error) {
	if !s.Dir {
		return []string{fixPath(s.Path, env)}, nil
	}
	dir := expandUser(s.Path, env)
	if !exists(dir) {
		return nil, &Error{File: dir, Reason: "this --config-dir does not exist"}
	}
	if strings.ContainsAny(dir, "*?[") {
		return nil, &Error{File: dir, Reason: "oslo.config would take *, ? and [ in a --config-dir for a pattern"}
	}
	entries, _ := os.ReadDir(dir)
	var files []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".conf") && name[0] != '.' {
			files = append(files, fixPath(strings.TrimSuffix(dir, "/")+"/"+name, env))
		}
	}
	slices.SortFunc(files, compareAsPython)
	return files, nil
}

// compareAsPython orders names by code points, as Python sorts them: bytes that are not UTF-8 count as U+DC80 and up
// (PEP 383), which is below U+E000 and so not where their bytes would put them.
func compareAsPython(a, b string) int {
	for a != "" && b != "" {
		x, n := pythonRune(a)
		y, m := pythonRune(b)
		if x != y {
			return cmp.Compare(x, y)
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

func pythonRune(s string) (rune, int) {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return 0xdc00 + rune(s[0]), 1
	}
	return r, n
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fixPath is cfg.py's _fixpath: absolute, with a tilde expanded.
func fixPath(path string, env environment) string {
	path = expandUser(path, env)
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// expandUser is Python's os.path.expanduser: HOME or the password database; a user who is not known changes nothing.
func expandUser(path string, env environment) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	name, rest := path[1:], ""
	if i := strings.IndexByte(path, '/'); i > 0 {
		name, rest = path[1:i], path[i:]
	}
	home, ok := homeOf(name, env)
	if !ok {
		return path
	}
	return cmp.Or(strings.TrimRight(home, "/")+rest, "/")
}

func homeOf(name string, env environment) (string, bool) {
	if home, ok := env.lookup("HOME"); ok && name == "" {
		return home, true
	}
	found, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if name != "" {
		found, err = user.Lookup(name)
	}
	if err != nil {
		return "", false
	}
	return found.HomeDir, true
}

// readFile returns the text of a regular file, or of /dev/null. Anything else might block or never end, so it is
// refused, and opened without waiting to find that out.
func readFile(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", cannotRead(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", cannotRead(path, err)
	}
	switch {
	case info.Mode().IsRegular():
		return readText(path, file, info.Size())
	case isNull(info):
		return "", nil
	}
	return "", cannotRead(path, errors.New("it is "+kindOf(info)))
}

func readText(path string, file io.Reader, size int64) (string, error) {
	text := bytes.NewBuffer(make([]byte, 0, min(size, maxFileSize)+bytes.MinRead))
	if _, err := text.ReadFrom(io.LimitReader(file, maxFileSize+1)); err != nil {
		return "", cannotRead(path, err)
	}
	if text.Len() > maxFileSize {
		return "", &Error{File: path, Reason: "longer than " + strconv.Itoa(maxFileSize>>20) + " MiB"}
	}
	if !utf8.Valid(text.Bytes()) {
		return "", &Error{File: path, Line: badLine(text.String()), Reason: "not UTF-8"}
	}
	return text.String(), nil
}

// badLine finds the line that holds the first byte that is not UTF-8.
func badLine(text string) int {
	for i, r := range text {
		if _, n := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && n == 1 {
			return 1 + strings.Count(text[:i], "\n")
		}
	}
	return 0
}

func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(null, info)
}

func kindOf(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

func cannotRead(path string, err error) error {
	return &Error{File: path, Reason: "cannot be read: " + cause(err)}
}

// environment is os.Environ's list. The first of two entries with one name counts, as in Python's os.environ.
type environment []string

func (e environment) lookup(name string) (string, bool) {
	for _, entry := range e {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:], true
		}
	}
	return "", false
}

// options are the variables whose names start as sources/_environment.py's do.
func (e environment) options() environment {
	var found environment
	for _, entry := range e {
		if strings.HasPrefix(entry, "OS_") {
			found = append(found, entry)
		}
	}
	return found
}
