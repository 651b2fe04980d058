// Command rss runs a program and prints, instead of the program's output, its peak memory in KiB. It is small, because
// the kernel counts the memory of who starts a program as the program's until that is loaded.
//
//	rss PROGRAM [ARGUMENT]...
package main

import (
	"log"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	log.Println(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
}
