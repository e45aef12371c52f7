"""Commands that are forks of a process that has imported TensorFlow."""

from training import processes

MODULE = 'tests.training.forked'


def test_a_fork_is_the_command_it_stands_for_and_says_nothing_else():
  result = processes.run(
      MODULE, 3, 4., environment={'GREETING': 'hello'}, capture_errors=True)
  assert result == (3, '7.0 hello False\n', '')


def test_both_outputs_go_to_files(tmp_path):
  path = tmp_path / 'output'
  process = processes.start('tests.training.none', output=path, errors=path)
  process.join()
  assert process.exitcode == 1
  assert 'No module named tests.training.none' in path.read_text()
