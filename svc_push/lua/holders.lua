-- Answers the processes that hold the viewer.
return (holders(KEYS[2]))
