package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/initramfs"
)

// Called reports whether this program was started as what a guest begins with.
func Called() bool { return strings.TrimPrefix(os.Args[0], "/") == InitPath }

// Main is what a guest begins with; it does not return. As process 1 it brings
// the machine up as far as nobody else does, and any other configures it.
func Main() {
	c, err := readConfig()
	if err == nil && os.Getpid() != 1 {
		c.configureAndTell()
		os.Exit(0)
	}
	if err == nil {
		err = c.boot()
	}
	fmt.Println(Failed(c.Node, err))
	time.Sleep(time.Second) // until the console has told
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	os.Exit(1)
}

func readConfig() (c Config, err error) {
	text, err := os.ReadFile("/" + ConfigPath)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	return c, err
}

// boot brings the machine up. It returns when that has failed.
func (c *Config) boot() error {
	if c.Next == "" {
		if err := mountAll(); err != nil {
			return err
		}
	}
	if err := initramfs.LoadModules("/" + ModulesPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := unix.Sethostname([]byte(c.Node)); err != nil {
		return fmt.Errorf("name the machine: %w", err)
	}
	if _, err := start([]string{"/" + InitPath, "configure"}, os.Environ(), nil); err != nil {
		return err
	}
	if c.Next != "" {
		err := unix.Exec(c.Next, append([]string{c.Next}, os.Args[1:]...), os.Environ())
		return fmt.Errorf("start %s: %w", c.Next, err)
	}
	return c.serve()
}

// start starts a program with the input and output of this one, or those of a
// terminal that shall be its own.
func start(args, env []string, terminal *os.File) (pid int, err error) {
	files := []uintptr{0, 1, 2}
	sys := &syscall.SysProcAttr{}
	if terminal != nil {
		fd := terminal.Fd()
		files = []uintptr{fd, fd, fd}
		sys = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
	pid, err = syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: env, Files: files, Sys: sys})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	return pid, nil
}

// mountAll mounts what programs expect.
func mountAll() error {
	for _, m := range []struct{ fs, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", "gid=5,mode=620"},
		{"tmpfs", "/run", ""},
		{"tmpfs", "/tmp", "mode=1777"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.fs, m.at, m.fs, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// serve is process 1 of a guest that has no other: there is always a shell on the
// console, programs that end without a parent are taken note of, and poweroff(8)
// and reboot(8) of busybox are obeyed, which send signals.
func (c *Config) serve() error {
	go obey()
	console, err := openConsole()
	if err != nil {
		return err
	}
	for {
		shell, err := start([]string{"/bin/sh", "-l"}, c.environment(), console)
		if err != nil {
			return err
		}
		begin := time.Now()
		for {
			pid, err := unix.Wait4(-1, nil, 0, nil)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for programs: %w", err)
			}
			if pid == shell {
				break
			}
		}
		time.Sleep(time.Until(begin.Add(time.Second))) // one that always ends shall not keep the machine busy
	}
}

// openConsole opens the terminal that is the console: /dev/console is none that a
// shell could have for its own.
func openConsole() (*os.File, error) {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(active))
	if len(names) == 0 {
		return nil, errors.New("the kernel has no console")
	}
	return os.OpenFile("/dev/"+names[len(names)-1], os.O_RDWR|unix.O_NOCTTY, 0)
}

// path is where a guest's programs are.
const path = "/bin:/sbin:/usr/bin:/usr/sbin"

// environment returns that of the guest's programs.
func (c *Config) environment() []string {
	env := []string{
		"PATH=" + path, "HOME=/root", "TERM=linux",
		"PS1=[" + c.Lab + " " + c.Node + "] \\w # ", "VSWITCH_LAB=" + c.Lab, "VSWITCH_NODE=" + c.Node,
	}
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	return env
}

func obey() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if <-asked == unix.SIGTERM {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	unix.Sync()
	_ = unix.Reboot(how)
}
